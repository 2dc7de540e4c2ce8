// Makes the screenshots of docs/archive.md: what OHIF shows of the studies of an archive, a PNG file for each
// segmentation and report.
//
//   npm pack @ohif/app && tar xzf ohif-app-*.tgz      # its built pages are in package/dist
//   npm install playwright-core
//   node docs/screenshots/ohif.mjs http://127.0.0.1:8042/dicom-web package/dist DIR [NAME …]
//
// OHIF and the archive are served here as one origin, on this machine alone. The archive must hold phantoms and nothing
// else: pages name the patient. CHROMIUM names the browser, /usr/bin/chromium by default.
import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';
import { createRequire } from 'node:module';

const [archive, pages, folder, ...names] = process.argv.slice(2);
if (!folder) {
  console.error('usage: node ohif.mjs DICOMWEB_URL DIST_OF_OHIF DIR [NAME …]');
  process.exit(2);
}
const { chromium } = createRequire(join(process.cwd(), 'index.js'))('playwright-core');

const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.wasm': 'application/wasm', '.svg': 'image/svg+xml', '.json': 'application/json' };
const CONFIG = `window.config = {
  routerBasename: '/', extensions: [], modes: [], showStudyList: true, investigationalUseDialog: { option: 'never' },
  maxNumberOfWebWorkers: 1, defaultDataSourceName: 'archive',
  dataSources: [{
    namespace: '@ohif/extension-default.dataSourcesModule.dicomweb', sourceName: 'archive',
    configuration: {
      friendlyName: 'archive', name: 'archive', qidoRoot: '/dicom-web', wadoRoot: '/dicom-web',
      qidoSupportsIncludeField: false, imageRendering: 'wadors', thumbnailRendering: 'wadors',
      enableStudyLazyLoad: true, supportsFuzzyMatching: false, supportsWildcard: true,
      omitQuotationForMultipartRequest: true, bulkDataURI: { enabled: true },
    },
  }],
};`;

async function answer(request, response) {
  const path = new URL(request.url, 'http://localhost').pathname;
  if (path.startsWith('/dicom-web')) {
    const found = await fetch(archive + request.url.slice('/dicom-web'.length), { headers: { accept: request.headers.accept ?? '*/*' } });
    response.writeHead(found.status, { 'content-type': found.headers.get('content-type') ?? 'application/json' });
    response.end(Buffer.from(await found.arrayBuffer()));
    return;
  }
  if (path === '/app-config.js') {
    response.writeHead(200, { 'content-type': 'text/javascript' });
    response.end(CONFIG);
    return;
  }
  const file = extname(path) ? normalize(path) : '/index.html'; // all others are routes of the application
  const content = await readFile(join(pages, file)).catch(() => null);
  response.writeHead(content ? 200 : 404, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream' });
  response.end(content ?? '');
}

const server = createServer((request, response) => answer(request, response).catch(error => {
  response.writeHead(502);
  response.end(String(error));
}));
await new Promise(done => server.listen(0, '127.0.0.1', done));
const origin = `http://127.0.0.1:${server.address().port}`;

const studies = (await (await fetch(`${archive}/studies`, { headers: { accept: 'application/dicom+json' } })).json())
  .map(study => study['0020000D'].Value[0]).sort();
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--enable-unsafe-swiftshader', '--use-gl=angle', '--use-angle=swiftshader'],
});
let failed = 0;
for (const study of studies) {
  const page = await browser.newPage({ viewport: { width: 1000, height: 640 } });
  if (process.env.VERBOSE) page.on('console', message => console.log(message.text().slice(0, 300)));
  await page.goto(`${origin}/viewer?StudyInstanceUIDs=${study}`);
  try {
    await page.waitForSelector('.cornerstone-canvas', { timeout: 120_000 });
    await page.getByText('Skip all').click({ timeout: 60_000 }); // the tour of the tools
    // what has no image of its own, segmentations and reports, is shown on its image once it is opened
    const objects = page.locator('[data-cy="study-browser-thumbnail-no-image"]');
    for (let number = 0; number < (await objects.count()); number += 1) {
      await objects.nth(number).dblclick();
      await page.waitForTimeout(15_000);
      const file = join(folder, `${names.shift() ?? `ohif_${number + 1}`}.png`);
      await page.screenshot({ path: file });
      console.log(file);
    }
  } catch (error) {
    failed += 1;
    console.error(error.message.split('\n')[0]);
  }
  await page.close();
}
await browser.close();
server.close();
process.exit(failed ? 1 : 0);
