/** The few small pages people see when they open a trigger link. No script, no outside resource. */

const style = `
  :root { color-scheme: light dark; font: 17px/1.5 system-ui, sans-serif; }
  body { display: grid; place-items: center; min-height: 90vh; margin: 0; }
  main { max-width: 34rem; padding: 2rem; text-align: center; }
  h1 { font-size: 1.6rem; margin: 0 0 .5rem; overflow-wrap: anywhere; }
  p { margin: .4rem 0; overflow-wrap: anywhere; }
  small { opacity: .7; }
  button { font: inherit; font-weight: 600; margin-top: 1.2rem; padding: .7rem 2rem; border: 0; border-radius: .5rem;
    background: #b3261e; color: #fff; cursor: pointer; }
  button:focus-visible { outline: 3px solid #8ab4f8; outline-offset: 2px; }`;

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (letter) => entities[letter] ?? letter);
}

function page(title: string, body: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${escapeHtml(title)}</title>
<style>${style}</style>
</head>
<body><main>${body}</main></body>
</html>
`;
}

type Count = { function: string; targeted: number; online: number };

/** After it was fired. */
export function donePage(answer: {
  event_id: string;
  commands: readonly Count[];
  warnings?: readonly string[] | undefined;
  dry_run?: boolean | undefined;
}): string {
  const title = titleOf(answer);
  const said = lines(answer.commands) + remarks(answer.warnings);
  return page(title, `<h1>${title}</h1><p><small>${escapeHtml(answer.event_id)}</small></p>${said}`);
}

function titleOf(answer: { commands: readonly Count[]; dry_run?: boolean | undefined }): string {
  if (answer.dry_run) return 'Nothing sent: this was a dry run';
  return answer.commands.length > 0 ? 'Sent' : 'Nothing was to be sent';
}

/** Says what would happen; the button posts to the address of this page. */
export function confirmPage(action: {
  name: string;
  commands: readonly Count[];
  warnings?: readonly string[] | undefined;
}): string {
  const form = '<form method="post"><button type="submit">Do it</button></form>';
  const said =
    action.commands.length > 0
      ? lines(action.commands) + remarks(action.warnings) + form
      : `<p>This would do nothing.</p>${remarks(action.warnings)}`;
  return page(action.name, `<h1>${escapeHtml(action.name)}</h1>${said}`);
}

function remarks(warnings: readonly string[] = []): string {
  return warnings.map((text) => `<p><small>${escapeHtml(text)}</small></p>`).join('');
}

function lines(commands: readonly Count[]): string {
  return commands
    .map(({ function: name, targeted, online }) => {
      const devices = targeted === 1 ? 'device' : 'devices';
      return `<p>${escapeHtml(readable(name))}: ${targeted} ${devices}, ${online} online now</p>`;
    })
    .join('');
}

export function faultPage(code: string, detail: string): string {
  return page(
    'This did not work',
    `<h1>This did not work</h1><p>${escapeHtml(detail)}</p><p><small>${escapeHtml(code)}</small></p>`,
  );
}

function readable(functionName: string): string {
  const words = functionName.replaceAll('_', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}
