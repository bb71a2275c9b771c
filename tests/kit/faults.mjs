// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Makes the authorization server misbehave on purpose, and counts its requests.

import { setTimeout as sleep } from 'node:timers/promises';

/**
 * A rule: { path, times, delay, status, body, type, location, retryAfter, header, size, hang, drop, truncate }.
 * `path` is required; with only a `delay` the real answer follows late.
 */
export class Faults {
  #rules = [];
  #stats = new Map();

  add(rule) {
    if (!rule.path) throw new Error('a fault needs a path');
    this.#rules.push({ ...rule, times: Number(rule.times ?? Infinity) });
  }

  clear() { this.#rules = []; }

  clearStats() { this.#stats.clear(); }

  count(name) { this.#stats.set(name, (this.#stats.get(name) ?? 0) + 1); }

  get stats() { return Object.fromEntries(this.#stats); }

  /** Answers in the server's place; true when the request is dealt with. */
  async intercept(path, request, response) {
    this.count(path.replace(/^(\/(?:interaction|auth|device))\/.*/, '$1/*'));

    const rule = this.#rules.find((r) => r.path === path && r.times > 0);
    if (!rule) return false;
    rule.times -= 1;

    if (rule.hang) return true;
    if (rule.drop) { request.socket.destroy(); return true; }
    if (rule.delay) await sleep(Number(rule.delay));
    const answers = ['status', 'body', 'size', 'truncate', 'location'].some((key) => rule[key] !== undefined);
    if (!answers) return false;

    response.statusCode = Number(rule.status ?? (rule.location ? 302 : 200));
    response.setHeader('content-type', rule.type ?? 'application/json');
    if (rule.location) response.setHeader('location', rule.location);
    if (rule.retryAfter) response.setHeader('retry-after', rule.retryAfter);
    if (rule.truncate) {
      response.setHeader('content-length', '100000');
      response.write('{"keys":[');
      setTimeout(() => request.socket.destroy(), 200);
    } else {
      response.end(rule.size ? 'x'.repeat(Number(rule.size)) : rule.body ?? '{}');
    }
    return true;
  }
}
