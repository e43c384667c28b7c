/** A project is a tenant: everything belongs to one, and nobody sees into another's. Project 1 is always there. */

import { z } from 'zod';
import { deleteProjectActions } from '../../store/action.ts';
import { deleteProjectAlarms } from '../../store/alarm.ts';
import { deleteProjectAlarmRules } from '../../store/alarm-rule.ts';
import { deleteProjectPulses, updateProjectOutOfForce } from '../../store/command.ts';
import { countDevices } from '../../store/device.ts';
import { deleteProjectDeviceTypes } from '../../store/device-type.ts';
import { deleteProjectFirings } from '../../store/firing.ts';
import { deleteProjectGroups } from '../../store/group.ts';
import { deleteProjectKeys } from '../../store/key.ts';
import { deleteProjectLinks } from '../../store/link.ts';
import { pageQuery } from '../../store/page.ts';
import {
  deleteProject,
  holdProject,
  insertProject,
  type Project,
  selectProject,
  selectProjects,
  updateProject,
} from '../../store/project.ts';
import type { Db } from '../../store/schema.ts';
import { takeNumbers } from '../../store/sequence.ts';
import { deleteProjectSessions } from '../../store/session.ts';
import { deleteProjectUsers } from '../../store/user.ts';
import { deleteProjectWebhooks } from '../../store/webhook.ts';
import type { Context } from '../context.ts';
import { Fault } from '../fault.ts';
import { instant, nameSchema, numberedPageSchema, parseInput } from '../input.ts';
import { makeChange } from './audit.ts';
import type { Caller } from './caller.ts';

const projectSchema = z.strictObject({ name: nameSchema });

function viewProject(project: Project) {
  return { id: project.id, name: project.name, created_at: instant(project.createdAt) };
}

export async function createProject(ctx: Context, caller: Caller, input: unknown) {
  const given = parseInput(projectSchema, input);
  return makeChange(ctx, caller, async (tx, note) => {
    const project = { id: await takeNumbers(tx, 'project', 1), name: given.name, createdAt: ctx.now() };
    await insertProject(tx, project);
    await note('project.create', { kind: 'project', id: project.id }, given);
    return viewProject(project);
  });
}

export async function listProjects(ctx: Pick<Context, 'db'>, input: unknown) {
  const page = await selectProjects(ctx.db, pageQuery(parseInput(numberedPageSchema, input)));
  return { ...page, items: page.items.map(viewProject) };
}

export async function getProject(ctx: Pick<Context, 'db'>, id: number) {
  return viewProject(await requireProject(ctx.db, id));
}

export async function changeProject(ctx: Context, caller: Caller, id: number, input: unknown) {
  const given = parseInput(projectSchema, input);
  await makeChange(ctx, caller, async (tx, note) => {
    await requireProject(tx, id);
    await updateProject(tx, id, given);
    await note('project.change', { kind: 'project', id }, given);
  });
  return getProject(ctx, id);
}

/**
 * Deletes a project: its set-up, its alarms, and what would go on by itself. Its triggers, commands and events stay
 * until they are swept. Its devices must have been deleted before: they are the part that can't be typed in again.
 */
export async function removeProject(ctx: Context, caller: Caller, id: number): Promise<void> {
  if (id === 1) throw new Fault('conflict', 'project 1 is always there');
  const ended = await makeChange(ctx, caller, async (tx, note) => {
    await holdProject(tx, id);
    const project = await requireProject(tx, id);
    if ((await countDevices(tx, id, {})) > 0) {
      throw new Fault('in_use', 'the project still has devices');
    }
    await deleteProjectLinks(tx, id);
    await deleteProjectActions(tx, id);
    await deleteProjectWebhooks(tx, id);
    await deleteProjectAlarmRules(tx, id);
    await deleteProjectAlarms(tx, id);
    await deleteProjectFirings(tx, id);
    await deleteProjectPulses(tx, id);
    const inForce = await updateProjectOutOfForce(tx, id);
    await deleteProjectDeviceTypes(tx, id);
    await deleteProjectGroups(tx, id);
    await deleteProjectSessions(tx, id);
    await deleteProjectUsers(tx, id);
    await deleteProjectKeys(tx, id);
    await deleteProject(tx, id);
    await note('project.delete', { kind: 'project', id }, { name: project.name });
    return inForce;
  });
  for (const command of ended) ctx.live.inForce.remove(command);
}

async function requireProject(db: Db, id: number): Promise<Project> {
  const project = await selectProject(db, id);
  if (!project) throw new Fault('not_found', `there is no project ${id}`);
  return project;
}
