// Keyv's own suite, `@keyv/test-suite`, with `@keyv/cloudflare-kv` over REST, the adapter of Keyv's authors.
//
// That adapter needs Keyv 6, and the latest suite that is published was written for Keyv 5. So the suite also runs over
// a Map: what fails there is the suite's difference with Keyv 6, and is expected to fail with any store.

import KeyvCloudflareKV from '@keyv/cloudflare-kv';
import suite, { keyvIteratorTests } from '@keyv/test-suite';
import { Keyv } from 'keyv';
import * as vitest from 'vitest';
import { account, base, empty, listed, namespace, now, sorted, token, write, wrongToken } from './server.mjs';

const { afterEach, beforeEach, describe, expect, test } = vitest;

const writtenForKeyv5 = new Set([
  // Keyv 6 answers one outcome for each key.
  '.deleteMany([keys]) with nonexistent keys resolves to false',
  // It reaches into `opts` of the store, which Keyv 6 does not ask for.
  'value can be BigInt using other serializer/deserializer',
]);

// Its value lives for a second, in which two requests have to be answered. A busy machine may take longer.
const hurried = '.set(key, value, ttl) sets a value that expires';

function it(name, body) {
  if (writtenForKeyv5.has(name)) test.fails(name, body);
  else test(name, { retry: name === hurried ? 5 : 0 }, body);
}

// The adapter answers "not there" when a request fails, and only emits what went wrong.
const errors = [];

function open(options = {}) {
  const at = { accountId: account, namespaceId: namespace, apiToken: token, url: base };
  const store = new KeyvCloudflareKV({ mode: 'rest', ...at, ...options });
  store.on('error', (error) => errors.push(error));
  return store;
}

function run(store) {
  suite({ ...vitest, it }, Keyv, store);
  keyvIteratorTests({ ...vitest, it }, Keyv, store);
}

describe('the suite over a Map', () => {
  const map = new Map();
  run(() => map);
});

describe('the suite over the server', () => {
  beforeEach(() => void errors.splice(0));
  run(() => open());
  afterEach(() => expect(errors).toEqual([]));
});

describe('besides', () => {
  beforeEach(async () => {
    errors.splice(0);
    await empty();
  });

  test('the suite reaches the server', async () => {
    await new Keyv({ store: open(), namespace: 'one' }).set('key', 'value');
    expect((await listed()).map((key) => key.name)).toEqual(['one:key']);
    expect(errors).toEqual([]);
  });

  test('a time to live reaches the server, and lies in the metadata too', async () => {
    const before = now();
    await new Keyv({ store: open() }).set('key', 'value', 600_000);
    const [key] = await listed();
    expect(key.expiration).toBeGreaterThanOrEqual(before + 598);
    expect(key.expiration).toBeLessThanOrEqual(now() + 601);
    expect(Math.abs(key.metadata.e / 1000 - before - 600)).toBeLessThan(60);
  });

  test('more keys than one page holds are iterated and cleared', async () => {
    const names = Array.from({ length: 1050 }, (_, index) => `k${String(index).padStart(4, '0')}`);
    await write(names.map((key) => ({ key, value: JSON.stringify({ value: key }) })));
    const iterated = [];
    for await (const { name } of open().listKeys('')) iterated.push(name);
    expect(sorted(iterated)).toEqual(names);
    await new Keyv({ store: open() }).clear();
    expect(await listed()).toEqual([]);
    expect(errors).toEqual([]);
  });

  test('a wrong token is an error that is emitted', async () => {
    await new Keyv({ store: open() }).set('key', 'value');
    const store = open({ apiToken: wrongToken });
    expect(await store.get('key')).toBeUndefined();
    expect(errors.map((error) => error.message)).toEqual([expect.stringMatching(/get failed: 40[13]/)]);
  });
});
