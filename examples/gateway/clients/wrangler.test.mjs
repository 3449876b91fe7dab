// The vendor's command line, `wrangler kv`, with `--remote`.

import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { account, base, empty, listed, namespace, now, sorted, token, write, wrongToken } from './server.mjs';

const program = join(dirname(createRequire(import.meta.url).resolve('wrangler/package.json')), 'bin/wrangler.js');
const bytes = Buffer.from([0, 255, 254, 13, 10, 0, 128]);
let folder;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'kv-gateway-wrangler-'));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function wrangler(argv, environment = {}) {
  const env = {
    PATH: process.env.PATH,
    HOME: folder,
    XDG_CONFIG_HOME: folder,
    CI: '1',
    NO_COLOR: '1',
    WRANGLER_SEND_METRICS: 'false',
    WRANGLER_HIDE_BANNER: 'true',
    CLOUDFLARE_API_BASE_URL: base,
    CLOUDFLARE_ACCOUNT_ID: account,
    CLOUDFLARE_API_TOKEN: token,
    ...environment,
  };
  return new Promise((resolve) => {
    const options = { cwd: folder, env, encoding: 'buffer', maxBuffer: 64 * 1024 * 1024 };
    execFile(process.execPath, [program, 'kv', ...argv], options, (error, stdout, stderr) => {
      resolve({ code: error ? error.code : 0, stdout, said: `${stdout}${stderr}` });
    });
  });
}

const at = ['--namespace-id', namespace, '--remote'];

async function kv(...argv) {
  const ended = await wrangler([...argv, ...at]);
  expect(ended.code, ended.said).toBe(0);
  return ended.stdout;
}

async function refused(...argv) {
  const ended = await wrangler([...argv, ...at]);
  expect(ended.code, ended.said).toBe(1);
  return ended.said;
}

const names = async () => sorted((await listed()).map((key) => key.name));

function file(name, content) {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const json = (name, content) => file(name, JSON.stringify(content));

beforeEach(empty);

test('the namespace is listed', async () => {
  const ended = await wrangler(['namespace', 'list']);
  expect(ended.code, ended.said).toBe(0);
  const found = JSON.parse(ended.stdout).find((one) => one.id === namespace || one.title === namespace);
  expect(found).toMatchObject({ id: expect.stringMatching(/^[0-9a-f]{32}$/), title: expect.stringMatching(/./) });
});

test('a text with metadata and a time to live is put, read, listed and deleted', async () => {
  const before = now();
  await kv('key', 'put', 'key', 'żółć 😀', '--metadata', '{"a":[1,null]}', '--ttl', '3600');
  expect((await kv('key', 'get', 'key', '--text')).toString()).toBe('żółć 😀\n');
  const [{ expiration, ...rest }] = JSON.parse(await kv('key', 'list'));
  expect(rest).toEqual({ name: 'key', metadata: { a: [1, null] } });
  expect(expiration).toBeGreaterThanOrEqual(before + 3600);
  expect(expiration).toBeLessThanOrEqual(now() + 3601);
  await kv('key', 'delete', 'key');
  expect(await listed()).toEqual([]);
});

test('the bytes of a file stay bytes, and an expiry is kept to the second', async () => {
  const expiration = now() + 7200;
  await kv('key', 'put', 'bytes', '--path', file('bytes.bin', bytes), '--expiration', String(expiration));
  expect(await kv('key', 'get', 'bytes')).toEqual(bytes);
  expect(await listed()).toEqual([{ name: 'bytes', expiration }]);
  await kv('key', 'put', 'bytes', '--path', file('bytes.bin', bytes), '--metadata', '{"a":1}');
  expect(await kv('key', 'get', 'bytes')).toEqual(bytes);
  expect(await listed()).toEqual([{ name: 'bytes', metadata: { a: 1 } }]);
});

test('an odd key is one like any other', async () => {
  const key = 'x/../y a%2Fb?c#é😀&=+\'"\\:@';
  await write([{ key: 'neighbour', value: 'stays' }]);
  await kv('key', 'put', key, 'value');
  expect((await kv('key', 'get', key, '--text')).toString()).toBe('value\n');
  expect(await names()).toEqual([key, 'neighbour'].sort());
  await kv('key', 'delete', key);
  expect(await names()).toEqual(['neighbour']);
});

test('a key of two dots leads nowhere else', async () => {
  await write([{ key: 'key', value: 'stays' }]);
  for (const command of ['get', 'delete']) await refused('key', command, '..');
  expect(await names()).toEqual(['key']);
});

test('what is not there cannot be read, and can be deleted', async () => {
  expect(await refused('key', 'get', 'nothing')).toContain('404');
  await kv('key', 'delete', 'nothing');
});

test('an expiry that has passed is refused', async () => {
  await refused('key', 'put', 'key', 'value', '--expiration', String(now() - 3600));
  expect(await listed()).toEqual([]);
});

test('many are written, read, listed page by page and deleted', async () => {
  const many = Array.from({ length: 1100 }, (_, index) => `many/${String(index).padStart(4, '0')}`);
  const expiration = now() + 7200;
  await kv('bulk', 'put', json('many.json', [
    { key: 'bytes', value: bytes.toString('base64'), base64: true },
    { key: 'text', value: 'as it is', metadata: { about: 'it' }, expiration },
    ...many.map((key) => ({ key, value: key })),
  ]));
  expect(await kv('key', 'get', 'bytes')).toEqual(bytes);
  expect((await listed()).find((key) => key.name === 'text')).toEqual({
    name: 'text', metadata: { about: 'it' }, expiration,
  });
  const found = JSON.parse(await kv('key', 'list', '--prefix', 'many/')).map((key) => key.name);
  expect(sorted(found)).toEqual(many);

  const read = (await kv('bulk', 'get', json('wanted.json', ['text', many[7], 'nothing']))).toString();
  expect(JSON.parse(read.slice(read.indexOf('{'), read.lastIndexOf('}') + 1))).toEqual({
    text: 'as it is', [many[7]]: many[7], nothing: null,
  });

  await kv('bulk', 'delete', json('unwanted.json', [...many, 'nothing']), '--force');
  expect(await names()).toEqual(['bytes', 'text']);
});

test('a wrong token reads and writes nothing', async () => {
  await write([{ key: 'key', value: 'secret' }]);
  for (const argv of [['key', 'get', 'key', ...at], ['key', 'delete', 'key', ...at]]) {
    const ended = await wrangler(argv, { CLOUDFLARE_API_TOKEN: wrongToken });
    expect(ended.code, ended.said).toBe(1);
    expect(ended.said).toMatch(/40[13]|Authentication error/);
    expect(ended.said).not.toContain('secret');
  }
  expect(await names()).toEqual(['key']);
});
