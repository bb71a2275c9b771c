// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Everything works without this: it adds copy buttons, and shows times in the browser's time zone.
'use strict';

const { copy, copied } = document.body.dataset;

for (const value of navigator.clipboard ? document.querySelectorAll('[data-value]') : []) {
  const button = document.createElement('button');
  button.type = 'button';
  button.className = 'button plain small';
  button.textContent = copy;
  const name = value.closest('div')?.querySelector('dt')?.textContent;
  if (name) button.setAttribute('aria-label', `${copy}: ${name}`);
  button.addEventListener('click', async () => {
    await navigator.clipboard.writeText(value.dataset.value || value.textContent);
    button.textContent = copied;
    setTimeout(() => { button.textContent = copy; }, 2000);
  });
  value.after(' ', button);
}

const { lang } = document.documentElement;
for (const time of document.querySelectorAll('time[datetime]')) {
  const at = new Date(time.dateTime);
  if ('clock' in time.dataset) time.textContent = at.toLocaleTimeString(lang, { hour: '2-digit', minute: '2-digit' });
  time.title = at.toLocaleString(lang);
}
