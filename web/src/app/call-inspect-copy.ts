/** What is copied for a bug report. */
import type { CallReport, CallsReport } from '../client/index.js';

export interface CopyOptions {
  report: CallReport | CallsReport;
  server: { name: string; version: string } | null;
  userAgent: string;
}

/** JSON of what is shown. Whatever looks like a token is left out: nobody shall publish one by mistake. */
export function copyText({ report, server, userAgent }: CopyOptions): string {
  const whole = { takenAt: new Date(report.nowMs).toISOString(), server, userAgent, ...report };
  return JSON.stringify(whole, (_, value: unknown) => (typeof value === 'string' ? withoutTokens(value) : value), 2);
}

/** JSON Web Tokens, and the parameters that carry credentials. */
export const withoutTokens = (text: string): string =>
  text.replace(/eyJ[\w-]+(\.[\w-]+){1,2}/g, '(token)').replace(/\b(bearer|(?:access_)?token[=:])\s*\S+/gi, '$1 (token)');

/** True when it is in the clipboard. `near`: where a field may be put for browsers without the newer way (plain HTTP). */
export async function copy(text: string, near: HTMLElement): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyOld(text, near);
  }
}

function copyOld(text: string, near: HTMLElement): boolean {
  const field = document.createElement('textarea');
  field.value = text;
  field.className = 'visually-hidden';
  near.append(field);
  field.select();
  try {
    return document.execCommand('copy');
  } catch {
    return false;
  } finally {
    field.remove();
  }
}
