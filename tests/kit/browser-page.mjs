// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The sign-in page in headless Chromium: a user signs in, adds both kinds of phone, sees the use of one and signs out.
// Prints a line of JSON for each event; waits for a line on standard input once the first phone is added.
//
//   PAGE=http://127.0.0.1:8095   SCRIPTS=no (without JavaScript)   SHOTS=folder (pictures at 390 and 1280 pixels)
//   LANGUAGE=en

import readline from 'node:readline';
import { launch } from './browser.mjs';
import { addCode, addDevice, back, signIn } from './page.mjs';

const { PAGE, SCRIPTS, SHOTS, LANGUAGE = 'en' } = process.env;
const WIDTHS = [390, 1280];
const say = (event, more = {}) => console.log(JSON.stringify({ event, ...more }));
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

const browser = await launch();
const context = await browser.newContext({ javaScriptEnabled: SCRIPTS !== 'no', locale: LANGUAGE, colorScheme: process.env.DARK ? 'dark' : 'light' });
const page = await context.newPage();
page.setDefaultTimeout(20_000);
const requests = [];
page.on('request', (request) => requests.push({ url: request.url(), referrer: request.headers().referer ?? '' }));
page.on('console', (message) => {
  // What the authorization server's own pages lack is not the page's concern.
  if (message.type() === 'error' && page.url().startsWith(PAGE)) say('console', { text: message.text() });
});

/** Pictures of the page at both widths, and whether it fits. */
async function look(name) {
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: width === 390 ? 844 : 860 });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    if (wide > width) say('overflow', { name, width, wide });
    if (SHOTS) await page.screenshot({ path: `${SHOTS}/${name}-${width}.png`, fullPage: true });
  }
}

try {
  await page.goto(PAGE);
  await look('choose');
  await signIn(page, PAGE, 'alice');
  await page.getByRole('heading', { name: 'My phones' }).waitFor();
  say('signed in', { url: page.url(), text: await page.locator('main').innerText() });
  await look('empty');

  const values = await addDevice(page, 'Desk phone, room 12');
  const picture = page.getByAltText('QR code', { exact: false });
  const drawn = await picture.evaluate((image) => image.complete && image.naturalWidth > 0);
  say('device', {
    values, url: page.url(), drawn, copies: await page.getByRole('button', { name: 'Copy' }).count(),
    address: await page.locator('code.address').first().textContent(),
  });
  await look('device');
  await back(page);

  say('code', { code: await addCode(page, 'Conference phone'), url: page.url() });
  await look('code');
  await back(page);
  await addDevice(page, 'Softphone');
  await page.reload();
  say('again', { text: await page.locator('main').innerText() });
  await page.goto(PAGE);

  say('waiting');
  await lines.next();
  await page.reload();
  say('list', { text: await page.locator('main').innerText() });
  await page.locator('.phone summary').first().click();
  await look('phones');
  await page.locator('.phone').first().getByLabel('Name', { exact: true }).fill('Softphone at home');
  await page.getByRole('button', { name: 'Save name' }).first().click();
  await page.getByRole('heading', { name: 'Softphone at home' }).waitFor();
  say('renamed', { note: await page.getByRole('status').innerText() });

  await page.locator('.phone summary').first().click();
  await page.getByRole('button', { name: 'Sign out this phone' }).first().click();
  await page.getByText('The phone was signed out.').waitFor();
  say('signed out', { phones: await page.locator('.phone h2').allInnerTexts() });

  // By keyboard alone: the last summary, its button, and the way back.
  await page.locator('summary', { hasText: 'Sign out everywhere' }).focus();
  await page.keyboard.press('Enter');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.getByText('You are signed out, and so are all your phones.').waitFor();
  say('everywhere', { url: page.url() });
  await look('everywhere');
  await page.goto(`${PAGE}/signed-in/corp?state=x&code=y`);
  await look('error');
  say('end', { requests, title: await page.title() });
} catch (error) {
  say('error', { message: error.message, url: page.url() });
} finally {
  await browser.close();
}
process.exit(0);
