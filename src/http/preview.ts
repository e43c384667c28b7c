/**
 * Who opens a trigger link without meaning to: prefetchers, pages that embed it, and the robots that draw the
 * small preview under a message. None of them may fire anything.
 */
import type { IncomingHttpHeaders } from 'node:http';

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
    'matrix.*preview',
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

/** Why this GET must not fire, or null when it may. */
export function reasonNotToFire(headers: IncomingHttpHeaders): string | null {
  const purpose = [headers['sec-purpose'], headers.purpose, headers['x-purpose'], headers['x-moz']].join(' ');
  if (/prefetch|prerender|preview/i.test(purpose)) return 'prefetch';
  if (previewAgents.test(headers['user-agent'] ?? '')) return 'link preview';
  const site = headers['sec-fetch-site'];
  if (site === undefined) return null;
  const mode = headers['sec-fetch-mode'];
  const destination = headers['sec-fetch-dest'];
  if (mode === 'navigate' && destination === 'document') return null;
  if (site === 'same-origin' && mode !== 'navigate' && destination === 'empty') return null;
  return 'part of another page';
}
