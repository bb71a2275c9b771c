// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Headless Chromium with a page in which phones run. CHROMIUM=/usr/bin/chromium   DEBUG_SIP=1

import fs from 'node:fs';
import http from 'node:http';
import readline from 'node:readline';
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

/** Arguments of a browser whose phones call each other. */
export const CALLS = [
  '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream',
  '--allow-loopback-in-peer-connection',    // the machine may have no other network
];

/**
 * Runs a part inside a page and prints what it gives to say(), a line for each event. It gets the parameters and the
 * tokens, which come on one line of standard input after the line "ready": a browser may take long to start, and tokens
 * do not last. A second line ends the process.
 */
export async function play(library, part, parameters, { calls = false } = {}) {
  const browser = await launch(calls ? CALLS : []);
  const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  try {
    const page = await openPage(browser, library);
    if (calls) await page.context().grantPermissions(['microphone']);
    await page.exposeFunction('say', (line) => console.log(line));
    console.log('ready');
    const { value: line } = await lines.next();
    await page.evaluate(part, { ...parameters, tokens: line.split(' ') });
    await lines.next();
  } catch (error) {
    console.log(JSON.stringify({ who: 'kit', event: 'error', message: error.message }));
  } finally {
    await browser.close();
  }
  process.exit(0);
}
