/**
 * Who opens a trigger link without meaning to: prefetchers, pages that embed it, and the robots that draw the
 * small preview under a message. None of them may fire anything.
 */
import type { IncomingHttpHeaders } from 'node:http';

/** Who names himself at greater length is looked at no further. */
const agentLettersMax = 1_000;

/** Robots that open links people have written, to show what is behind them, or to check them. */
const previewAgents = new RegExp(
  [
    'slackbot',
    'slack-imgproxy',
    'twitterbot',
    'facebookexternalhit',
    'facebookcatalog',
    'facebot',
    'meta-externalagent',
    'whatsapp',
    'telegrambot',
    'discordbot',
    'linkedinbot',
    'skypeuripreview',
    'microsoftpreview',
    'msteams',
    'bingpreview',
    'google-pagerenderer',
    'googlemessages',
    'google-safety',
    'apis-google',
    'googlebot',
    'bingbot',
    'applebot',
    'viber',
    'vkshare',
    'pinterest',
    'redditbot',
    'tumblr',
    'mastodon',
    'pleroma',
    'misskey',
    'bluesky',
    'cardyb',
    'embedly',
    'iframely',
    'outbrain',
    'qwantify',
    'snapchat',
    'line-poker',
    'kakaotalk-scrap',
    'zoombot',
    'zulip',
    'mattermost',
    'rocket\\.chat',
    'matrix.{0,50}preview',
    'synapse',
    'signal-desktop-preview',
    'trello',
    'notionbot',
    'flipboard',
    'yandexbot',
    'duckduckbot',
    'petalbot',
    'ahrefsbot',
    'semrushbot',
    'gptbot',
    'chatgpt-user',
    'claudebot',
    'perplexitybot',
    'barracuda',
    'mimecast',
    'proofpoint',
    'safelinks',
  ].join('|'),
  'i',
);

/** The reason for a GET whose page asked for it, where a person may stand before it. */
export const fromAnotherPage = 'opened from another page';

/** Whose pages may ask for a trigger on purpose. */
export type Trust = {
  /** Hosts that are this server. */
  isOwnHost(host: string): boolean;
  /** Origins that `CORS_ORIGINS` names. */
  isTrustedOrigin(origin: string): boolean;
};

/**
 * Why this GET must not fire, or null when it may. It is asked for a key in the URL alone: nobody sends a
 * header without meaning to.
 */
export function reasonNotToFire(headers: IncomingHttpHeaders, trust: Trust): string | null {
  const purpose = [headers['sec-purpose'], headers.purpose, headers['x-purpose'], headers['x-moz']].join(' ');
  if (/prefetch|prerender|preview/i.test(purpose)) return 'prefetch';
  if (previewAgents.test(headers['user-agent']?.slice(0, agentLettersMax) ?? '')) return 'link preview';
  const page = headers.origin ?? headers.referer;
  const isTrusted = page !== undefined && trust.isTrustedOrigin(originOf(page));
  const site = headers['sec-fetch-site'];
  // Browsers say nothing of it to servers that they reach by plain HTTP.
  if (site === undefined) {
    if (asksForPart(headers.accept ?? '')) return 'part of another page';
    return page === undefined || isTrusted || trust.isOwnHost(hostOf(page)) ? null : fromAnotherPage;
  }
  const mode = headers['sec-fetch-mode'];
  const destination = headers['sec-fetch-dest'];
  if (mode === 'navigate' && destination === 'document') return null;
  if (mode !== 'navigate' && destination === 'empty' && (site === 'same-origin' || isTrusted)) return null;
  return 'part of another page';
}

const partTypes =
  /^(?:(?:image|audio|video|font)\/|text\/css$|(?:text|application)\/(?:x-)?(?:java|ecma)script$)/;
const wholeTypes = ['text/html', 'application/xhtml+xml', 'application/json'];

/** Whether an `Accept` is one of images, styles or scripts, and not one of a person or a program that may take them too. */
function asksForPart(accept: string): boolean {
  const types = accept.split(',').map((part) => part.split(';', 1)[0]?.trim().toLowerCase() ?? '');
  return types.some((type) => partTypes.test(type)) && !types.some((type) => wholeTypes.includes(type));
}

function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : '';
}

function originOf(url: string): string {
  return URL.canParse(url) ? new URL(url).origin : '';
}
