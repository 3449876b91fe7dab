// unstorage's driver `cloudflare-kv-http`, through unstorage's own interface. The suite that unstorage runs its drivers
// through is not part of its package; these checks cover what that covers, and what a server can get wrong besides.

import { createStorage, restoreSnapshot, snapshot } from 'unstorage';
import driver from 'unstorage/drivers/cloudflare-kv-http';
import { beforeEach, describe, expect, test } from 'vitest';
import { account, base, empty, listed, namespace, now, sorted, token, write, wrongToken } from './server.mjs';

const root = base.replace(/\/client\/v4\/?$/, '');

function open(options = {}) {
  const given = { accountId: account, namespaceId: namespace, apiToken: token, apiURL: root, ...options };
  return createStorage({ driver: driver(given) });
}

const whole = open();

beforeEach(empty);

// As it is opened by most, and with a base, under which everything lies.
describe.each([['without a base', undefined], ['with a base', 'apps:one']])('%s', (_, under) => {
  const storage = open(under === undefined ? {} : { base: under });
  const keys = async (...of) => sorted(await storage.getKeys(...of));

  test('what is not there is null', async () => {
    expect(await storage.hasItem('a')).toBe(false);
    expect(await storage.getItem('a')).toBeNull();
    expect(await storage.getItemRaw('a')).toBeNull();
    expect(await keys()).toEqual([]);
  });

  test('what is set is there, and replaced', async () => {
    await storage.setItem('one:a', 'first');
    await storage.setItem('two:a', 'other');
    expect(await storage.hasItem('one:a')).toBe(true);
    expect(await storage.getItem('one:a')).toBe('first');
    await storage.setItem('one:a', 'second ż😀');
    expect(await storage.getItem('one:a')).toBe('second ż😀');
    expect(await storage.getItem('two:a')).toBe('other');
    expect((await listed()).map((key) => key.name).sort()).toEqual(
      ['one:a', 'two:a'].map((key) => (under === undefined ? key : `${under}:${key}`)),
    );
  });

  test('keys are listed, by base and by depth', async () => {
    const written = ['top', 'a:b', 'a:c', 'a:b:c', 'a:b:d:e', 'ab:c'];
    for (const key of written) await storage.setItem(key, key);
    expect(await keys()).toEqual([...written].sort());
    expect(await keys('a')).toEqual(['a:b', 'a:b:c', 'a:b:d:e', 'a:c']);
    expect(await keys('a:b')).toEqual(['a:b:c', 'a:b:d:e']);
    expect(await keys('nowhere')).toEqual([]);
    expect(await keys(undefined, { maxDepth: 0 })).toEqual(['top']);
    expect(await keys(undefined, { maxDepth: 1 })).toEqual(['a:b', 'a:c', 'ab:c', 'top']);
  });

  test.each([
    ['an object', { json: ['works', 1, null] }],
    ['a list', [1, 'two', { three: 3 }]],
    ['zero', 0],
    ['a number', 12.5],
    ['true', true],
    ['false', false],
    ['a text with quotation marks', 'he said "no"'],
  ])('%s comes back as it was', async (_, value) => {
    await storage.setItem('dir:value.json', value);
    expect(await storage.getItem('dir:value.json')).toEqual(value);
  });

  test('what has a JSON form of its own is kept in that', async () => {
    await storage.setItem('json', { toJSON: () => ({ serialized: 'yes' }) });
    expect(await storage.getItem('json')).toEqual({ serialized: 'yes' });
  });

  test('what has no JSON form is refused, and nothing is written', async () => {
    class Unknown {}
    await expect(storage.setItem('unknown', new Unknown())).rejects.toThrow('Cannot stringify');
    expect(await storage.hasItem('unknown')).toBe(false);
  });

  test('bytes stay bytes', async () => {
    const bytes = Uint8Array.from([0, 255, 254, 13, 10, 128]);
    await storage.setItemRaw('raw.bin', bytes);
    expect(new Uint8Array(await storage.getItemRaw('raw.bin'))).toEqual(bytes);
  });

  test('many are set and read together', async () => {
    await storage.setItems([1, 2, 3].map((number) => ({ key: `many:${number}`, value: `value ${number}` })));
    expect(await storage.getItems(['many:3', { key: 'many:1' }, 'many:4'])).toEqual([
      { key: 'many:3', value: 'value 3' },
      { key: 'many:1', value: 'value 1' },
      { key: 'many:4', value: null },
    ]);
  });

  test('what is removed is gone, and can be removed again', async () => {
    await storage.setItem('a', 'value');
    await storage.setItem('b', 'value');
    await storage.removeItem('a');
    expect(await storage.hasItem('a')).toBe(false);
    expect(await storage.getItem('a')).toBeNull();
    await storage.removeItem('a');
    expect(await keys()).toEqual(['b']);
  });

  const odd = ['a b', 'é😀', '100%', 'a#b', '%2F', "'", '+', '&x=y', '...'];
  test.each(odd)('the key %s is one like any other', async (key) => {
    await storage.setItem(key, `value of ${key}`);
    expect(await storage.hasItem(key)).toBe(true);
    expect(await storage.getItem(key)).toBe(`value of ${key}`);
    expect(await keys()).toEqual([key]);
    await storage.removeItem(key);
    expect(await keys()).toEqual([]);
  });

  test('a time to live reaches the server', async () => {
    const before = now();
    await storage.setItem('short', 'value', { ttl: 600 });
    const [{ expiration }] = await listed();
    expect(expiration).toBeGreaterThanOrEqual(before + 600);
    expect(expiration).toBeLessThanOrEqual(now() + 601);
    expect(await storage.getItem('short')).toBe('value');
  });

  test('a snapshot is taken and put back', async () => {
    await restoreSnapshot(storage, { 'a:one': 'first', 'a:two': { deep: true } });
    const taken = await snapshot(storage, '');
    expect(taken).toEqual({ 'a:one': 'first', 'a:two': { deep: true } });
    await storage.clear();
    expect(await keys()).toEqual([]);
    await restoreSnapshot(storage, taken);
    expect(await storage.getItem('a:two')).toEqual({ deep: true });
  });

  test('all is cleared, and can be cleared again', async () => {
    for (const key of ['a:one', 'a:two', 'b']) await storage.setItem(key, key);
    await storage.clear();
    expect(await listed()).toEqual([]);
    await storage.clear();
    expect(await keys()).toEqual([]);
  });
});

test('one base does not see or clear another', async () => {
  const one = open({ base: 'one' });
  const other = open({ base: 'other' });
  await one.setItem('key', 'of one');
  await other.setItem('key', 'of other');
  expect(await one.getKeys()).toEqual(['key']);
  await one.clear();
  expect(await one.getItem('key')).toBeNull();
  expect(await other.getItem('key')).toBe('of other');
});

test('more keys than one page holds are all listed and cleared', async () => {
  const names = Array.from({ length: 1100 }, (_, index) => `k:${String(index).padStart(4, '0')}`);
  await write(names.map((key) => ({ key, value: 'v' })));
  expect(sorted(await whole.getKeys())).toEqual(names);
  await whole.clear();
  expect(await listed()).toEqual([]);
});

test('a wrong token is an error, not a missing value', async () => {
  await whole.setItem('key', 'value');
  const stranger = open({ apiToken: wrongToken });
  for (const attempt of [
    () => stranger.hasItem('key'),
    () => stranger.getItem('key'),
    () => stranger.setItem('key', 'other'),
    () => stranger.removeItem('key'),
    () => stranger.getKeys(),
  ]) {
    const error = await attempt().then(() => undefined, (error) => error);
    expect([401, 403]).toContain(error?.response?.status);
  }
  expect(await whole.getItem('key')).toBe('value');
});
