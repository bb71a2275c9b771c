// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Headless Chromium with a page in which phones run. CHROMIUM=/usr/bin/chromium   DEBUG_SIP=1

import fs from 'node:fs';
import http from 'node:http';
import { once } from 'node:events';
import { chromium } from 'playwright-core';

/** A browser that reaches this machine only; more arguments may follow. */
export const launch = (more = []) => chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  headless: true,
  args: [
    '--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-proxy-server',
    '--ignore-certificate-errors',
    '--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1',    // nothing leaves this machine
    ...more,
  ],
});

/** An empty page with the phone's library: jssip or sipjs. */
export async function openPage(browser, library) {
  const server = http.createServer((request, response) => {
    response.setHeader('content-type', 'text/html');
    response.end('<!doctype html><title>phone</title>');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const page = await context.newPage();
  if (process.env.DEBUG_SIP) page.on('console', (message) => console.error(message.text()));
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  await page.addScriptTag({ content: fs.readFileSync(new URL(`${library}.bundle.js`, import.meta.url), 'utf8') });
  return page;
}
