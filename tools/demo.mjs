// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Runs the demonstration; tools/demo.sh has set up and built everything before.
// Each exchange is shown as it went over the wire: request, answer, challenge, reason.

import { execFile, spawn } from 'node:child_process';
import crypto from 'node:crypto';
import dgram from 'node:dgram';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import readline from 'node:readline';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const RUN = path.join(ROOT, 'target/demo');
const KIT = path.join(ROOT, 'target/kit');
const KEEP = Boolean(process.env.KEEP && process.env.KEEP !== '0');
const DOMAIN = 'example.test';
const RESOURCE = (name) => `https://sip.example.test/${name}`;
const run = promisify(execFile);
const processes = [];
let failures = 0;

const bold = (text) => (process.stdout.isTTY ? `\x1b[1m${text}\x1b[0m` : text);
const say = (text = '') => console.log(text);
const title = (text) => say(`\n${bold(text)}`);

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  return port;
}

function start(name, program, args, options = {}) {
  const log = fs.openSync(path.join(RUN, `${name}.log`), 'w');
  const child = spawn(program, args, { stdio: ['ignore', log, log], detached: KEEP, ...options });
  processes.push({ name, child });
  child.on('exit', () => { child.ended = true; });
  return child;
}

const logOf = (name) => fs.readFileSync(path.join(RUN, `${name}.log`), 'utf8');

async function until(what, condition, seconds = 20) {
  for (let i = 0; i < seconds * 10; i += 1) {
    const result = await condition();
    if (result) return result;
    const ended = processes.find(({ child }) => child.ended);
    if (ended) throw new Error(`${ended.name} has ended:\n${logOf(ended.name).split('\n').slice(-15).join('\n')}`);
    await new Promise((resolve) => { setTimeout(resolve, 100); });
  }
  throw new Error(`${what}: not within ${seconds} seconds; see target/demo/*.log`);
}

// ---- the two servers

async function startAuthorizationServer() {
  const port = await freePort();
  start('authorization-server', process.execPath, [path.join(KIT, 'authorization-server.mjs')],
    { env: { ...process.env, PORT: String(port) } });
  const ready = await until('the authorization server', () => /READY (\S+)/.exec(logOf('authorization-server')));
  return ready[1];
}

/** A folder for sessions, and the key that encrypts it. */
function newStore(name) {
  const [store, key] = [path.join(RUN, name), path.join(RUN, `${name}.key`)];
  fs.rmSync(store, { recursive: true, force: true });
  fs.mkdirSync(store);
  fs.writeFileSync(key, crypto.randomBytes(32).toString('base64'), { mode: 0o600 });
  return { store, key };
}

/** A Kamailio with one of the examples. */
async function startKamailio(name, example, port, defines) {
  const socket = path.join(RUN, `${name}.ctl`);
  const place = path.join(RUN, `${name}.run`);
  fs.rmSync(socket, { force: true });
  fs.mkdirSync(place, { recursive: true });
  const { stdout } = await run(path.join(ROOT, 'tools/kamailio-build.sh'), ['--modules']);
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` };
  start(name, 'kamailio', [
    '-f', path.join(ROOT, 'cfg-examples/kamailio', example), '-DD', '-E', '-m', '64', '-M', '8',
    '-w', place, '-Y', place, '-L', `${stdout.trim()}:${path.join(ROOT, 'target/kamailio')}`,
    '-A', `PORT=${port}`, '-A', `CTL_SOCKET="unix:${socket}"`, ...defines.flatMap((define) => ['-A', define]),
  ], { env });
  const rpc = async (...args) => (await run('kamcmd', ['-s', `unix:${socket}`, ...args], { env })).stdout;
  await until(name, () => fs.existsSync(socket) && rpc('auth_oauth.providers').then((t) => /state: fresh/.test(t), () => false));
  return { port, socket, rpc };
}

async function startRegistrar(issuer) {
  const audience = ['rs256', 'es256'].map(RESOURCE).join(',');
  const client = 'client_id=sip-proxy;client_secret=proxy-secret';
  const judge = `name=demo;issuer=${issuer};audience=${audience};aor={sip};domain=${DOMAIN}`;
  const { store, key } = newStore('store');
  const defines = [`STORE="${store}"`, `STORE_KEY_FILE="${key}"`, `PROVIDER="${judge};${client}"`];
  return { judge, ...await startKamailio('kamailio', 'public-ua.cfg', await freePort(), defines) };
}

/** The sign-in page, and a Kamailio that shares its configuration and its store. */
async function startSignInPage(issuer) {
  const { store, key } = newStore('page-store');
  const [port, pagePort] = [await freePort(), await freePort()];
  const file = path.join(RUN, 'sign-in-page.toml');
  const address = `http://127.0.0.1:${pagePort}`;
  fs.writeFileSync(file, `store = "${store}"
store_key_file = "${key}"
typed_codes = true

[[provider]]
name = "corp"
issuer = "${issuer}"
audience = "sip"
aor = "{sip}"
domain = "${DOMAIN}"
client_id = "sip-page"
client_secret = "page-secret"

[[offer]]
offer = "digest"

[sign_in_page]
url = "${address}"
listen = "127.0.0.1:${pagePort}"
proxy = "sip:127.0.0.1:${port}"
transport = "udp"
`, { mode: 0o600 });
  start('sign-in-page', path.join(ROOT, 'target/release/sipoauth-signin'), ['--config', file]);
  await until('the sign-in page', () => fetch(`${address}/health`).then((answer) => answer.ok, () => false));
  // A typed code counts over TLS only; on one machine nobody listens.
  const kamailio = await startKamailio('kamailio-page', 'sign-in-page.cfg', port, [`CONFIG_FILE="${file}"`, 'UNPROTECTED']);
  return { address, kamailio };
}

/** A browser at the page. Each call is one thing that its user does. */
function openBrowser(address) {
  const child = start('browser', process.execPath, [path.join(KIT, 'page-visit.mjs')],
    { env: { ...process.env, PAGE: address, SHOTS: RUN }, stdio: ['pipe', 'pipe', 'inherit'], detached: false });
  const lines = readline.createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async does(what, argument = '') {
      child.stdin.write(`${what} ${argument}\n`);
      const { value } = await lines.next();
      const answer = JSON.parse(value ?? '{"error":"it has ended"}');
      if (answer.error) throw new Error(`the browser, ${what}: ${answer.error}`);
      return answer;
    },
    async close() {
      child.stdin.end();
      if (!child.ended) await once(child, 'exit');
      processes.splice(processes.findIndex((process) => process.child === child), 1);
    },
  };
}

// ---- phones

async function login(issuer, user, resource) {
  const { stdout } = await run(process.execPath,
    [path.join(KIT, 'login.mjs'), '--issuer', issuer, '--user', user, '--resource', RESOURCE(resource)]);
  return JSON.parse(stdout).access_token;
}

/** A sign-in in the browser that ends with a code for the proxy's client. */
async function loginForCode(issuer, user) {
  const { stdout } = await run(process.execPath,
    [path.join(KIT, 'login.mjs'), '--issuer', issuer, '--user', user, '--resource', RESOURCE('es256'),
      '--client', 'sip-proxy', '--scope', 'openid sip profile offline_access', '--code-only']);
  return JSON.parse(stdout);
}

/** The tool plays the phone; what it prints is shown, its exit status compared. */
async function phone(expected, text, ...args) {
  const tool = path.join(ROOT, 'target/release/sipoauth');
  const { stdout, code } = await run(tool, ['register', ...args]).then((ok) => ({ ...ok, code: 0 }), (error) => error);
  const wanted = /^(→|←|  (REGISTER|CSeq|Date|To|Contact|WWW-Auth|Location|grant_type))|^[a-z]/;
  for (const line of (stdout ?? '').split('\n')) {
    if (wanted.test(line)) say(`    ${line.length > 150 ? `${line.slice(0, 150)}…` : line}`);
  }
  verdict(code === expected, text);
}

const decode = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));
const header = (message, name) => new RegExp(`^${name}:\\s*(.*)$`, 'im').exec(message)?.[1]?.trim();

/** One line for a request, one for its answer. */
function show(request, reply) {
  const credentials = header(request, 'Authorization');
  const [, username] = /^Digest .*username="([^"]*)"/.exec(credentials ?? '') ?? [];
  const token = `a Bearer token of ${(credentials ?? '').length - 7} octets`;
  const carried = username ? `the Digest answer of ${username}` : token;
  say(`    ${request.split(' ', 1)[0]} ${credentials ? `with ${carried}` : 'without credentials'}`);
  say(`      → ${reply.split('\r\n', 1)[0].replace('SIP/2.0 ', '')}`);
  for (const name of ['WWW-Authenticate', 'Retry-After', 'Contact']) {
    const value = header(reply, name);
    if (value) say(`        ${name}: ${value}`);
  }
}

function verdict(ok, text) {
  if (!ok) failures += 1;
  say(`    ${ok ? 'ok' : 'FAILED'}: ${text}`);
}

/** Runs a phone of sipp with one user and shows its requests and their answers. */
async function sipp(port, transport, user, credentials, { scenario = 'sipp-register.xml', isIn = true } = {}) {
  const users = path.join(RUN, 'users.csv');
  const messages = path.join(RUN, `sipp-${transport}.log`);
  fs.writeFileSync(users, `SEQUENTIAL\n${user};${DOMAIN};${credentials}\n`, { mode: 0o600 });
  fs.rmSync(messages, { force: true });
  const result = await run('sipp', [`127.0.0.1:${port}`, '-sf', path.join(ROOT, `tests/kit/${scenario}`),
    '-inf', users, '-i', '127.0.0.1', '-m', '1', '-t', transport === 'UDP' ? 'u1' : 't1', '-nostdin',
    '-timeout', '10', '-trace_msg', '-message_file', messages, '-message_overwrite', 'true'],
  { env: { ...process.env, TERM: 'dumb' } }).then(() => true, () => false);
  const parts = fs.readFileSync(messages, 'utf8').split(/^-{20,}.*$/m).map((p) => p.slice(p.search(/^(REGISTER|SIP\/2\.0)/m)));
  const requests = parts.filter((p) => p.startsWith('REGISTER'));
  const replies = parts.filter((p) => p.startsWith('SIP/2.0'));
  requests.forEach((request, i) => show(request, (replies[i] ?? 'no answer').replace(/\r?\n/g, '\r\n')));
  fs.rmSync(users);
  fs.rmSync(messages);
  verdict(result === isIn, `sipp ${isIn ? 'registered' : 'cannot register'} sip:${user}@${DOMAIN} over ${transport}`);
}

async function jssip(port, user, token) {
  const env = { ...process.env, WS: `ws://127.0.0.1:${port}`, AOR: `sip:${user}@${DOMAIN}`, TOKEN: token };
  const { stdout } = await run(process.execPath, [path.join(KIT, 'jssip-register.mjs')], { env })
    .catch((error) => ({ stdout: error.stdout || '{"events":[]}' }));
  const result = JSON.parse(stdout.trim().split('\n').pop());
  for (const [i, event] of result.events.entries()) {
    say(`    REGISTER ${i ? 'with a Bearer token' : 'without credentials'}`);
    say(`      → ${event.status ?? event.error}`);
    for (const challenge of event.challenges ?? []) say(`        WWW-Authenticate: ${challenge}`);
  }
  verdict(result.registered, `JsSIP registered sip:${user}@${DOMAIN} over WebSocket`);
}

/** One REGISTER over UDP by hand, for what no real phone sends. */
async function register(port, user, token) {
  const socket = dgram.createSocket('udp4');
  await new Promise((resolve) => { socket.bind(0, '127.0.0.1', resolve); });
  const id = crypto.randomBytes(6).toString('hex');
  const from = `sip:${user}@${DOMAIN}`;
  const request = [`REGISTER sip:${DOMAIN} SIP/2.0`,
    `Via: SIP/2.0/UDP 127.0.0.1:${socket.address().port};branch=z9hG4bK${id};rport`, 'Max-Forwards: 70',
    `From: <${from}>;tag=${id}`, `To: <${from}>`, `Call-ID: ${id}`, 'CSeq: 1 REGISTER',
    `Contact: <sip:${user}@127.0.0.1:${socket.address().port}>`, `Authorization: Bearer ${token}`,
    'Content-Length: 0', '', ''].join('\r\n');
  socket.send(request, port, '127.0.0.1');
  const timer = setTimeout(() => socket.emit('message', Buffer.from('no answer\r\n')), 5000);
  const [reply] = await once(socket, 'message');
  clearTimeout(timer);
  socket.close();
  show(request, reply.toString());
  return reply.toString();
}

/** Why a token is refused: the failed rules of the tool's explanation are shown, its verdict compared. */
async function explain(judge, token, reason) {
  const file = path.join(RUN, 'token');
  fs.writeFileSync(file, token, { mode: 0o600 });
  const tool = path.join(ROOT, 'target/release/sipoauth');
  const options = ['token', 'explain', '--token-file', file, '--provider', judge];
  const { stdout } = await run(tool, options).then((ok) => ok, (error) => error);
  fs.rmSync(file);
  const lines = (stdout ?? '').split('\n');
  for (const line of lines.filter((l) => l.startsWith('FAILED') || l.startsWith('refused'))) say(`    ${line}`);
  verdict(lines.some((line) => line === `refused: ${reason}`), 'the tool says what the proxy says, and why');
}

/** The same header and claims, signed with a key of the attacker's. */
function forge(token) {
  const { privateKey } = crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const input = token.split('.').slice(0, 2).join('.');
  const signature = crypto.sign('sha256', Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' });
  return `${input}.${signature.toString('base64url')}`;
}

async function control(issuer, query) {
  const answer = await fetch(`${issuer}/__test/token?${new URLSearchParams(query)}`);
  return (await answer.json()).access_token;
}

async function refused({ port, rpc }, name, user, token, status, reason) {
  const counter = async () => Number(new RegExp(`reason_${reason}: (\\d+)`).exec(await rpc('auth_oauth.stats'))?.[1]);
  const before = await counter();
  title(name);
  const reply = await register(port, user, token);
  const why = (await counter()) === before + 1 ? reason : 'another reason';
  verdict(reply.startsWith(`SIP/2.0 ${status}`) && why === reason, `refused with ${status}, reason ${why}`);
}

function stopAll() {
  for (const { child } of processes) if (!child.ended) child.kill();
}

async function counted({ rpc }) {
  for (const line of (await rpc('auth_oauth.stats')).split('\n')) {
    if (/: [1-9]/.test(line)) say(`  ${line.replace(/^\s*/, '  ')}`);
  }
}

/** Phones that know nothing of OAuth, for a user who signs in with a browser. */
async function signInPage(issuer) {
  title('A server for browsers, and a second Kamailio that shares its store');
  const { address, kamailio } = await startSignInPage(issuer);
  say(`    sign-in page          ${address}`);
  say(`    Kamailio              udp, tcp and ws on 127.0.0.1:${kamailio.port}, with sign-in-page.cfg`);
  const browser = openBrowser(address);

  title('13  Erin signs in with a browser, and gets a password for her desk phone');
  await browser.does('sign-in', 'erin');
  const { values } = await browser.does('device', 'Desk phone, room 12');
  for (const [label, value] of Object.entries(values)) say(`    ${label}: ${label === 'Password' ? '*'.repeat(value.length) : value}`);
  const [username, password] = [values['Authentication user'], values.Password];
  verdict(/^erin-/.test(username) && password?.length >= 20, 'the page shows them once, with a QR code: target/demo/page-device.png');
  title('14  The desk phone registers. It knows a name and a password, as phones always did');
  const digest = `[authentication username=${username} password=${password}]`;
  await sipp(kamailio.port, 'UDP', 'erin', digest, { scenario: 'sipp-digest.xml' });

  title('15  Her conference phone has nothing but a keypad: she types nine digits');
  const { code } = await browser.does('code', 'Conference phone');
  const state = path.join(RUN, 'erin.json');
  fs.rmSync(state, { force: true });
  const conference = ['--server', `127.0.0.1:${kamailio.port}`, '--aor', `sip:erin@${DOMAIN}`,
    '--instance', 'urn:uuid:00000000-0000-4000-8000-0000000e3119'];
  await phone(0, 'registered; the code was good once, the phone has the shared key', ...conference, '--code', code, '--state', state);

  title('16  The page shows what her phones do');
  const noted = async () => {
    const { phones } = await browser.does('phones');
    return phones.length === 2 && phones.every(({ values: rows }) => rows.some(([, value]) => value === '127.0.0.1')) && phones;
  };
  for (const { name, kind, values: rows } of await until('the last registrations', noted)) {
    say(`    ${name} (${kind})`);
    for (const [label, value] of rows) say(`      ${label}: ${value}`);
  }
  verdict(true, 'both phones were seen: target/demo/page-phones.png');

  title('17  She signs out everywhere: both phones are out');
  const bindings = async () => ((await kamailio.rpc('ul.dump').catch(() => '')).match(/Address:/g) ?? []).length;
  const before = await bindings();
  const since = Date.now();
  await browser.does('sign-out-everywhere');
  await until('the bindings go', async () => (await bindings()) === 0);
  say(`    ${before} bindings, and none ${((Date.now() - since) / 1000).toFixed(1)} s later`);
  verdict(before === 2, 'both bindings are gone');
  await phone(2, 'the conference phone is challenged', ...conference, '--pop', '--state', state);
  await sipp(kamailio.port, 'UDP', 'erin', digest, { scenario: 'sipp-digest.xml', isIn: false });
  await browser.close();
  await counted(kamailio);
  return { address, kamailio };
}

async function main() {
  fs.mkdirSync(RUN, { recursive: true });
  title('Two servers on this machine');
  const issuer = await startAuthorizationServer();
  say(`    authorization server  ${issuer}  (oidc-provider, a certified OpenID provider)`);
  const kamailio = await startRegistrar(issuer);
  say(`    Kamailio              udp, tcp and ws on 127.0.0.1:${kamailio.port}, with auth_oauth.so`);

  title('1  Alice signs in at the authorization server and registers over UDP');
  const alice = await login(issuer, 'alice', 'es256');
  const { sub, aud, exp } = decode(alice);
  say(`    her token: sub=${sub} aud=${aud} expires in ${exp - Math.floor(Date.now() / 1000)} s, ES256`);
  await sipp(kamailio.port, 'UDP', 'alice', alice);
  title('2  Bob registers over TCP');
  await sipp(kamailio.port, 'TCP', 'bob', await login(issuer, 'bob', 'rs256'));
  title('3  Carol\'s browser phone registers over WebSocket');
  await jssip(kamailio.port, 'carol', await login(issuer, 'carol', 'rs256'));

  await refused(kamailio, '4  A forged token', 'alice', forge(alice), 401, 'signature_invalid');
  await refused(kamailio, '5  An expired token', 'alice',
    await control(issuer, { sub: 'alice', resource: RESOURCE('es256'), ttl: '-60' }), 401, 'token_expired');
  const elsewhere = await control(issuer, { sub: 'alice', resource: RESOURCE('eddsa'), ttl: '300' });
  await refused(kamailio, '6  A token for another audience', 'alice', elsewhere, 401, 'audience_mismatch');
  say('    sipoauth token explain, with the proxy\'s configuration:');
  await explain(kamailio.judge, elsewhere, 'audience_mismatch');
  await refused(kamailio, '7  Alice\'s token for Bob\'s address', 'bob', alice, 403, 'aor_mismatch');

  const codePhone = ['--server', `127.0.0.1:${kamailio.port}`, '--aor', `sip:dave@${DOMAIN}`];
  const state = path.join(RUN, 'dave.json');
  const pop = ['--pop', '--state', state, '--instance', 'urn:uuid:00000000-0000-4000-8000-00000000da7e'];
  fs.rmSync(state, { force: true });
  title('8  Dave\'s phone may hold no token: the proxy tells it where to sign in');
  await phone(2, 'challenged', ...codePhone);
  title('9  Dave signs in; his phone sends the code, the proxy exchanges it, both derive the same key');
  const { code, code_verifier: verifier, redirect_uri: redirect } = await loginForCode(issuer, 'dave');
  await phone(0, 'registered; the phone has the shared key and never saw a token', ...codePhone, '--code', code,
    '--code-verifier', verifier, '--redirect-uri', redirect, '--state', state, ...pop.slice(3));
  title('10  The connection is lost: over a new one the phone proves that it has the key');
  const tokens = async () => (await (await fetch(`${issuer}/__test/stats`)).json())['/token'];
  const before = await tokens();
  await phone(0, 'registered again, by proof of possession', ...pop, '--transport', 'tcp');
  verdict((await tokens()) === before, 'the authorization server was not asked');
  title('11  The operator ends the session (kamcmd auth_oauth.sessions_show, sessions_revoke)');
  say((await kamailio.rpc('auth_oauth.sessions_show', `sip:dave@${DOMAIN}`)).trimEnd().replace(/^/gm, '    '));
  const revoked = await kamailio.rpc('auth_oauth.sessions_revoke', `sip:dave@${DOMAIN}`);
  say(revoked.trimEnd().replace(/^/gm, '    '));
  verdict(/revoked: 1\n/.test(revoked) && /bindings_removed: [1-9]/.test(revoked), 'one session ended, its bindings removed');
  title('12  The phone\'s next request is challenged');
  await phone(2, 'challenged: Dave must sign in again', ...pop);

  title('What Kamailio counted (kamcmd auth_oauth.stats)');
  await counted(kamailio);
  const page = await signInPage(issuer);

  say();
  say(bold(failures ? `${failures} step(s) FAILED; the logs are in target/demo` : 'All 17 steps went as they should.'));

  if (!KEEP || failures) return stopAll();
  fs.writeFileSync(path.join(RUN, 'pids'), processes.map(({ child }) => `${child.pid}\n`).join(''));
  processes.forEach(({ child }) => child.unref());
  say(`
The servers keep running. Try:
    ${page.address} in a browser on this machine, as any user with any password
    node target/kit/login.mjs --issuer ${issuer} --user dave --resource ${RESOURCE('es256')}
    WS=ws://127.0.0.1:${kamailio.port} AOR=sip:dave@${DOMAIN} RESOURCE=${RESOURCE('es256')} node target/kit/jssip-register.mjs
    target/release/sipoauth register --server 127.0.0.1:${kamailio.port} --aor sip:dave@${DOMAIN}
    kamcmd -s unix:${path.relative(process.cwd(), kamailio.socket)} auth_oauth.providers
    kamcmd -s unix:${path.relative(process.cwd(), kamailio.socket)} ul.dump
    tail -f target/demo/kamailio.log
Stop them with: make demo-stop`);
  return undefined;
}

process.on('SIGINT', () => { stopAll(); process.exit(130); });
process.on('SIGTERM', () => { stopAll(); process.exit(143); });
main().catch((error) => {
  say(`\ndemo: ${error.message}`);
  failures += 1;
  stopAll();
}).finally(() => { process.exitCode = failures ? 1 : 0; });
