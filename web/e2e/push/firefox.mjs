/** Firefox with a push service on this machine, and its notifications within reach. */
import puppeteer from 'puppeteer-core';
import { FIREFOX, FIREFOX_PREFS, PATIENCE_MS, VIEWPORT } from '../calls.mjs';

export const startFirefox = (service) =>
  puppeteer.launch({
    browser: 'firefox',
    executablePath: FIREFOX,
    headless: true,
    protocolTimeout: 2 * PATIENCE_MS,
    // What a person clicks outside of pages: the browser's own windows.
    args: ['--remote-allow-system-access'],
    extraPrefsFirefox: {
      ...FIREFOX_PREFS,
      'dom.push.enabled': true,
      // Off by default while a browser is driven.
      'dom.push.connection.enabled': true,
      'dom.push.serverURL': service.url,
      'dom.push.testing.allowInsecureServerURL': true,
      // A page of JSON is a page of the origin, and not the browser's own view of it.
      'devtools.jsonview.enabled': false,
      // What somebody who says yes has said.
      'permissions.default.desktop-notification': 1,
      // A browser without a desktop shows notifications in windows of its own.
      'alerts.useSystemBackend': false,
      'dom.webnotifications.disable_open_click_delay': 60_000,
    },
    defaultViewport: VIEWPORT,
  });

/** Runs in the browser itself, with its rights. */
export async function inBrowser(browser, body) {
  const { connection } = browser;
  const { result: tree } = await connection.send('browsingContext.getTree', { 'moz:scope': 'chrome' });
  const context = tree.contexts[0].context;
  const { result } = await connection.send('script.evaluate', { expression: `(() => { ${body} })()`, target: { context }, awaitPromise: true });
  if (result.type === 'exception') throw new Error(result.exceptionDetails.text);
  return result.result.value;
}

/** Clicks the notification that the browser shows with this title, as a person does. */
export const clickNotification = (browser, title) =>
  inBrowser(
    browser,
    `for (const shown of Services.wm.getEnumerator('alert:alert')) {
       if (shown.document.getElementById('alertTitleLabel')?.getAttribute('value') !== ${JSON.stringify(title)}) continue;
       shown.document.getElementById('alertBox').click();
       return true;
     }
     return false;`,
  );

/** What this page's service worker shows, as title, text and what it replaces. */
export const shownIn = (page) =>
  page.evaluate(async () => {
    const worker = await navigator.serviceWorker.getRegistration();
    return (await worker.getNotifications()).map(({ title, body, tag }) => ({ title, body, tag }));
  });

/** Turns notifications on in the settings, and waits until the app says that they are. */
export async function turnOnPush(someone) {
  await someone.click('open-settings');
  await someone.click('open-notifications');
  await someone.sees('[data-testid="notify-on"]:not(:disabled)');
  await someone.click('notify-on');
  await someone.sees('[data-testid="notify-wake-only"]');
  await someone.click('notify-settings-close');
}
