/** The contract and a page to read and try it: Swagger UI from its package, nothing from elsewhere. */
import { basename, dirname } from 'node:path';
import type { Express, Response } from 'express';
import swaggerUiFolder from 'swagger-ui-dist/absolute-path.js';

const path = '/docs';
/** Named one by one: the package also brings a start page that loads somebody else's contract, and source maps. */
const assets = [
  'index.css',
  'swagger-ui.css',
  'swagger-ui-bundle.js',
  'favicon-16x16.png',
  'favicon-32x32.png',
] as const;
/** Their names stay the same when the package changes, so they can't be kept for ever. */
const assetSecondsMax = 24 * 60 * 60;

/**
 * The script is a file of its own and addresses are found from its own, so that the page works under
 * `script-src 'self'` and below any path a proxy puts us at.
 */
const startScript = `'use strict';
SwaggerUIBundle({
  url: new URL('../openapi.yaml', document.currentScript.src).href,
  dom_id: '#swagger-ui',
  deepLinking: true,
  docExpansion: 'list',
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  showExtensions: true,
  tryItOutEnabled: true,
  persistAuthorization: false,
  queryConfigEnabled: false,
  validatorUrl: null,
});
`;

/** `base` leads from the page's own address to its assets: `docs/` for the page at `/docs`, nothing for `/docs/`. */
function indexPage(base: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Fleethook API</title>
<link rel="icon" type="image/png" sizes="32x32" href="${base}favicon-32x32.png">
<link rel="icon" type="image/png" sizes="16x16" href="${base}favicon-16x16.png">
<link rel="stylesheet" href="${base}swagger-ui.css">
<link rel="stylesheet" href="${base}index.css">
</head>
<body>
<div id="swagger-ui"></div>
<noscript>This page needs JavaScript. The contract itself is in <a href="${base}../openapi.yaml">openapi.yaml</a>.</noscript>
<script src="${base}swagger-ui-bundle.js" defer></script>
<script src="${base}start.js" defer></script>
</body>
</html>
`;
}

/** Serves `/openapi.yaml` and the page `/docs`. */
export function useDocs(app: Express, openApiPath: string): void {
  app.get('/openapi.yaml', (_request, response) => {
    response.type('application/yaml');
    sendFile(response, openApiPath, 0);
  });

  app.get(path, (request, response) => {
    const base = request.path.endsWith('/') ? '' : `${basename(path)}/`;
    response.set('cache-control', 'no-cache').type('html').send(indexPage(base));
  });

  app.get(`${path}/start.js`, (_request, response) => {
    response.set('cache-control', 'no-cache').type('text/javascript').send(startScript);
  });

  const folder = swaggerUiFolder();
  for (const name of assets) {
    app.get(`${path}/${name}`, (_request, response) => {
      sendFile(response, `${folder}/${name}`, assetSecondsMax);
    });
  }
}

/** By folder and name, since a folder above whose name begins with a dot would count as hidden otherwise. */
function sendFile(response: Response, file: string, secondsMax: number): void {
  response.set('cache-control', secondsMax === 0 ? 'no-cache' : `public, max-age=${secondsMax}`);
  response.sendFile(basename(file), { root: dirname(file), cacheControl: false });
}
