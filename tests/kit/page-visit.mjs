// SPDX-License-Identifier: MIT OR Apache-2.0
//
// A user in headless Chromium at the sign-in page, who does what the lines of standard input say and answers each with a
// line of JSON: "sign-in USER", "device NAME", "code NAME", "phones", "sign-out-everywhere". The end of input ends it.
//
//   PAGE=http://127.0.0.1:8095   SHOTS=folder (a picture after each line)

import readline from 'node:readline';
import { launch } from './browser.mjs';
import * as visit from './page.mjs';

const { PAGE, SHOTS } = process.env;
const browser = await launch();
const context = await browser.newContext({ locale: 'en', viewport: { width: 1280, height: 860 } });
const page = await context.newPage();
page.setDefaultTimeout(20_000);

/** Back from the page that shows a new phone. */
async function home() {
  if (await page.getByRole('link', { name: 'Back to my phones' }).count()) await visit.back(page);
}

const actions = {
  'sign-in': async (user) => {
    await page.goto(PAGE);
    await visit.signIn(page, PAGE, user);
    await page.getByRole('heading', { name: 'My phones' }).waitFor();
    return { url: page.url() };
  },
  device: async (name) => { await home(); return { values: await visit.addDevice(page, name) }; },
  code: async (name) => { await home(); return { code: await visit.addCode(page, name) }; },
  phones: async () => {
    await page.goto(PAGE);
    return { phones: await page.locator('.phone').evaluateAll((all) => all.map((phone) => ({
      name: phone.querySelector('h2').textContent,
      kind: phone.querySelector('.kind').textContent,
      values: [...phone.querySelectorAll('dl > div')].map((row) => [...row.children].map((cell) => cell.textContent)),
    }))) };
  },
  'sign-out-everywhere': async () => { await visit.signOutEverywhere(page); return {}; },
};

try {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [, action, argument] = /^(\S+) ?(.*)$/.exec(line);
    const answer = await actions[action](argument);
    if (SHOTS) await page.screenshot({ path: `${SHOTS}/page-${action}.png`, fullPage: true });
    console.log(JSON.stringify(answer));
  }
} catch (error) {
  console.log(JSON.stringify({ error: error.message, url: page.url() }));
} finally {
  await browser.close();
}
process.exit(0);
