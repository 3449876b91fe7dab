// The vendor's package for Node, `cloudflare`.

import Cloudflare, { toFile } from 'cloudflare';
import { beforeEach, expect, test } from 'vitest';
import { account, empty, namespace, now, oddKeys, sorted, unordered, wrongToken } from './server.mjs';

const client = new Cloudflare({ maxRetries: 0 });
const { namespaces } = client.kv;
const { keys, metadata, values } = namespaces;
const inAccount = { account_id: account };
const at = { account_id: account, namespace_id: namespace };
const bytes = Buffer.from([0, 255, 254, 13, 10, 0, 128]);

const put = (key, value, more = {}) => values.update(key, { ...at, value, ...more });
const text = async (key) => (await values.get(key, at)).text();

async function all(query = {}) {
  const found = [];
  for await (const key of keys.list(namespace, { ...inAccount, ...query })) found.push(key);
  return found;
}

const names = async (query) => sorted((await all(query)).map((key) => key.name));

async function missing(key) {
  const error = await values.get(key, at).then(() => undefined, (error) => error);
  expect(error).toBeInstanceOf(Cloudflare.NotFoundError);
  expect(error.errors[0].code).toBe(10009);
}

beforeEach(empty);

test('a text is read as it was written, and replaced', async () => {
  await put('key', 'first');
  expect(await text('key')).toBe('first');
  await put('key', 'żółć 😀');
  expect(await text('key')).toBe('żółć 😀');
});

test('bytes stay bytes', async () => {
  await put('bytes', await toFile(bytes));
  const response = await values.get('bytes', at);
  expect(response.headers.get('content-type')).toBe('application/octet-stream');
  expect(Buffer.from(await response.arrayBuffer())).toEqual(bytes);
});

test('a megabyte comes back whole', async () => {
  const large = Buffer.alloc(3 * 1024 * 1024, (index) => index % 251);
  await put('large', await toFile(large));
  expect(large.equals(Buffer.from(await (await values.get('large', at)).arrayBuffer()))).toBe(true);
});

test('a value may be empty', async () => {
  await client.put(`/accounts/${account}/storage/kv/namespaces/${namespace}/values/empty`, {
    body: '',
    headers: { 'content-type': 'application/octet-stream' },
  });
  expect(await text('empty')).toBe('');
  expect(await names()).toEqual(['empty']);
});

test('metadata is kept beside the value, and goes with it', async () => {
  const about = { name: 'é', list: [1, null, { deep: true }], empty: {} };
  await put('key', 'value', { metadata: JSON.stringify(about) });
  expect(await metadata.get('key', at)).toEqual(about);
  expect(await text('key')).toBe('value');
  expect(await all()).toEqual([{ name: 'key', metadata: about }]);
  await put('key', 'another');
  expect(await metadata.get('key', at)).toBeNull();
  expect(await all()).toEqual([{ name: 'key' }]);
});

test('metadata that is not JSON is refused, and nothing is written', async () => {
  await expect(put('key', 'value', { metadata: '{nope' })).rejects.toBeInstanceOf(Cloudflare.BadRequestError);
  await missing('key');
});

test('a time to live becomes an expiry', async () => {
  const before = now();
  await put('key', 'value', { expiration_ttl: 3600 });
  const [{ expiration }] = await all();
  expect(expiration).toBeGreaterThanOrEqual(before + 3600);
  expect(expiration).toBeLessThanOrEqual(now() + 3601);
  const response = await values.get('key', at);
  expect(Number(response.headers.get('expiration'))).toBe(expiration);
});

test('an expiry is kept to the second, and a write without one ends it', async () => {
  const expiration = now() + 7200;
  await put('key', 'value', { expiration });
  expect(await all()).toEqual([{ name: 'key', expiration }]);
  await put('key', 'value');
  expect(await all()).toEqual([{ name: 'key' }]);
  expect((await values.get('key', at)).headers.get('expiration')).toBeNull();
});

test('given both, the time to live counts', async () => {
  const before = now();
  await put('key', 'value', { expiration_ttl: 600, expiration: before + 90_000 });
  const [{ expiration }] = await all();
  expect(expiration).toBeGreaterThanOrEqual(before + 600);
  expect(expiration).toBeLessThanOrEqual(now() + 601);
});

test('an expiry that has passed is refused', async () => {
  const past = put('key', 'value', { expiration: now() - 3600 });
  await expect(past).rejects.toBeInstanceOf(Cloudflare.BadRequestError);
  await expect(put('key', 'value', { expiration_ttl: 0 })).rejects.toBeInstanceOf(Cloudflare.BadRequestError);
  await missing('key');
});

test('what is not there is an error with its code', async () => {
  await missing('nothing');
  const error = await metadata.get('nothing', at).then(() => undefined, (error) => error);
  expect(error).toBeInstanceOf(Cloudflare.NotFoundError);
  expect(error.errors[0].code).toBe(10009);
});

test('what is deleted is gone, and can be deleted again', async () => {
  await put('key', 'value');
  await put('other', 'value');
  await values.delete('key', at);
  await missing('key');
  await values.delete('key', at);
  expect(await names()).toEqual(['other']);
});

test.each(oddKeys.map((key) => [encodeURIComponent(key), key]))('the key %s is one like any other', async (_, key) => {
  await put('neighbour', 'stays');
  await put(key, `value of ${key}`, { metadata: JSON.stringify({ key }) });
  expect(await text(key)).toBe(`value of ${key}`);
  expect(await metadata.get(key, at)).toEqual({ key });
  expect(await names()).toEqual([key, 'neighbour'].sort());
  expect((await namespaces.bulkGet(namespace, { ...inAccount, keys: [key] })).values[key]).toBe(`value of ${key}`);
  await values.delete(key, at);
  await missing(key);
  expect(await text('neighbour')).toBe('stays');
});

test('a key may have 512 bytes, encoded three times as long', async () => {
  const longest = 'é'.repeat(256);
  await put(longest, 'value');
  expect(await text(longest)).toBe('value');
  expect(await names()).toEqual([longest]);
});

test('keys are listed by prefix, page by page', async () => {
  const pages = Array.from({ length: 25 }, (_, index) => `page/${String(index).padStart(2, '0')}`);
  const body = [...pages, 'pag', 'pagf', 'page'].map((key) => ({ key, value: 'v' }));
  await namespaces.bulkUpdate(namespace, { ...inAccount, body });
  const found = [];
  let count = 0;
  const first = await keys.list(namespace, { ...inAccount, prefix: 'page/', limit: 10 });
  for await (const page of first.iterPages()) {
    count += 1;
    expect(page.result.length).toBeLessThanOrEqual(unordered ? 25 : 10);
    found.push(...page.result.map((key) => key.name));
  }
  expect(count).toBeGreaterThanOrEqual(unordered ? 1 : 3);
  expect(sorted(found)).toEqual(pages);
  expect(await names({ prefix: 'page' })).toEqual(['page', ...pages]);
  expect(await names({ prefix: 'none' })).toEqual([]);
  expect(await names()).toHaveLength(28);
});

test('more keys than one page holds are all listed', async () => {
  const written = Array.from({ length: 2100 }, (_, index) => `k${String(index).padStart(4, '0')}`);
  await namespaces.bulkUpdate(namespace, { ...inAccount, body: written.map((key) => ({ key, value: key })) });
  expect(await names()).toEqual(written);
});

test('a limit out of range is refused', async () => {
  await put('key', 'value');
  for (const limit of [9, 1001]) {
    await expect(all({ limit })).rejects.toBeInstanceOf(Cloudflare.BadRequestError);
  }
});

test('many are written, read and deleted by one request each', async () => {
  const expiration = now() + 7200;
  const written = await namespaces.bulkUpdate(namespace, {
    ...inAccount,
    body: [
      { key: 'plain', value: 'text' },
      { key: 'bytes', value: bytes.toString('base64'), base64: true },
      { key: 'a/b %', value: '{"json":[1,2]}', metadata: { about: 'it' }, expiration },
      { key: 'both', value: 'v', expiration_ttl: 600, expiration },
    ],
  });
  expect(written.successful_key_count).toBe(4);
  expect(written.unsuccessful_keys ?? []).toEqual([]);
  expect(Buffer.from(await (await values.get('bytes', at)).arrayBuffer())).toEqual(bytes);
  expect(await all({ prefix: 'a/' })).toEqual([{ name: 'a/b %', metadata: { about: 'it' }, expiration }]);
  expect((await all({ prefix: 'both' }))[0].expiration).toBeLessThan(expiration);

  const wanted = ['plain', 'a/b %', 'nothing'];
  const read = await namespaces.bulkGet(namespace, { ...inAccount, keys: wanted });
  expect(read.values).toEqual({ plain: 'text', 'a/b %': '{"json":[1,2]}', nothing: null });
  const whole = await namespaces.bulkGet(namespace, { ...inAccount, keys: wanted, withMetadata: true });
  expect(whole.values.plain).toEqual({ value: 'text', metadata: null });
  expect(whole.values['a/b %']).toEqual({ value: '{"json":[1,2]}', metadata: { about: 'it' }, expiration });
  expect(whole.values.nothing).toBeNull();
  const parsed = await namespaces.bulkGet(namespace, { ...inAccount, keys: ['a/b %'], type: 'json' });
  expect(parsed.values['a/b %']).toEqual({ json: [1, 2] });

  const deleted = await namespaces.bulkDelete(namespace, { ...inAccount, body: ['plain', 'bytes', 'nothing'] });
  expect(deleted.unsuccessful_keys ?? []).toEqual([]);
  expect(await names()).toEqual(['a/b %', 'both']);
});

test('of a bulk write with one bad item nothing is written', async () => {
  const body = [{ key: 'good', value: 'v' }, { key: 'bad', value: 'v', expiration: now() - 3600 }];
  const refused = namespaces.bulkUpdate(namespace, { ...inAccount, body });
  await expect(refused).rejects.toBeInstanceOf(Cloudflare.BadRequestError);
  expect(await names()).toEqual([]);
});

test('bulk requests have their limits', async () => {
  const keys = Array.from({ length: 101 }, (_, index) => `k${index}`);
  for (const refused of [keys, []]) {
    const get = namespaces.bulkGet(namespace, { ...inAccount, keys: refused });
    await expect(get).rejects.toBeInstanceOf(Cloudflare.BadRequestError);
  }
});

test('the namespace is listed and found', async () => {
  const listed = [];
  for await (const one of namespaces.list(inAccount)) listed.push(one);
  const found = await namespaces.get(namespace, inAccount);
  expect(found.title).not.toBe('');
  expect(listed).toContainEqual(found);
});

test('a namespace that is not there is an error with its code', async () => {
  const nowhere = { ...at, namespace_id: 'f00dfeedf00dfeedf00dfeedf00dfeed' };
  const error = await values.get('key', nowhere).then(() => undefined, (error) => error);
  expect(error).toBeInstanceOf(Cloudflare.NotFoundError);
  expect(error.errors[0].code).toBe(10013);
});

test('a wrong token reads and writes nothing', async () => {
  await put('key', 'secret');
  const stranger = new Cloudflare({ apiToken: wrongToken, maxRetries: 0 }).kv.namespaces;
  for (const attempt of [
    () => stranger.values.get('key', at),
    () => stranger.values.update('key', { ...at, value: 'other' }),
    () => stranger.values.delete('key', at),
    () => stranger.keys.list(namespace, inAccount),
    () => stranger.bulkDelete(namespace, { ...inAccount, body: ['key'] }),
    () => stranger.list(inAccount),
  ]) {
    const error = await attempt().then(() => undefined, (error) => error);
    expect([401, 403]).toContain(error?.status);
    expect(error.errors[0].code).toBe(10000);
    expect(error.message).not.toContain('secret');
  }
  expect(await text('key')).toBe('secret');
});
