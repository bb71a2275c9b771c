// SPDX-License-Identifier: MIT OR Apache-2.0
//
// What a user does at the sign-in page.

/** Goes through the authorization server's own pages until the browser is back. */
export async function signIn(page, address, user) {
  await page.getByRole('link', { name: 'Sign in with corp' }).click();
  while (!page.url().startsWith(`${address}/`)) {
    const login = page.locator('input[name=login]');
    if (await login.count()) {
      await login.fill(user);
      await page.locator('input[name=password]').fill('any password');
    }
    await page.locator('button[type=submit]').click();
    await page.waitForLoadState();
  }
}

/** Adds a phone that knows passwords only. Gives the values that are shown once, by their labels. */
export async function addDevice(page, name) {
  await page.getByLabel('Name of the phone').first().fill(name);
  await page.getByRole('button', { name: 'Get a device password' }).click();
  const rows = page.locator('dl.values > div:has(code:not(.address))');
  return Object.fromEntries(await rows.evaluateAll((all) => all
    .map((row) => [row.querySelector('dt').textContent, row.querySelector('code').textContent])));
}

/** Adds a phone that a code is typed into. Gives the code as it is shown. */
export async function addCode(page, name) {
  await page.getByLabel('Name of the phone').nth(1).fill(name);
  await page.getByRole('button', { name: 'Get a code' }).click();
  return page.locator('.code code').textContent();
}

export const back = (page) => page.getByRole('link', { name: 'Back to my phones' }).click();

export async function signOutEverywhere(page) {
  await page.locator('summary', { hasText: 'Sign out everywhere' }).click();
  await page.getByRole('button', { name: 'Sign out everywhere' }).click();
  await page.getByText('You are signed out, and so are all your phones.').waitFor();
}
