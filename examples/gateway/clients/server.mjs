// The server under test. The names are those that the vendor's packages read by themselves.

function given(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set; ./run sets it`);
  return value;
}

export const base = given('CLOUDFLARE_BASE_URL');
export const account = given('CLOUDFLARE_ACCOUNT_ID');
export const token = given('CLOUDFLARE_API_TOKEN');
export const namespace = given('CLOUDFLARE_KV_NAMESPACE_ID');

// Of the form of a token, and none that is let in.
export const wrongToken = 'Zx81wrongwrongwrongwrong';

// Over a store without order a page may hold more keys than its limit, and a key may come again on a later page.
export const unordered = process.env.KV_CLIENTS_UNORDERED === '1';
export const sorted = (names) => (unordered ? [...new Set(names)] : [...names]).sort();

export const now = () => Math.floor(Date.now() / 1000);

// What the server holds and is given, past the client under test.
const here = `${base}/accounts/${account}/storage/kv/namespaces/${namespace}`;

async function ask(path, options = {}) {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const response = await fetch(`${here}${path}`, { headers, ...options });
  const answer = await response.json();
  if (!response.ok) throw new Error(`${path}: ${response.status} ${JSON.stringify(answer.errors)}`);
  return answer;
}

export async function listed() {
  const found = [];
  for (let cursor = ''; ; ) {
    const page = await ask(`/keys?cursor=${encodeURIComponent(cursor)}`);
    found.push(...page.result);
    cursor = page.result_info.cursor;
    if (!cursor) return found;
  }
}

export const write = (items) => ask('/bulk', { method: 'PUT', body: JSON.stringify(items) });

export async function empty() {
  const keys = sorted((await listed()).map((key) => key.name));
  if (keys.length > 0) await ask('/bulk/delete', { method: 'POST', body: JSON.stringify(keys) });
  const left = await listed();
  if (left.length > 0) throw new Error(`${left.length} keys are left in the namespace`);
}

// Keys that a path, a query or a file name would make something else of. Clients refuse to send `.` and `..` alone.
export const oddKeys = [
  'a b', ' ', '/', 'a/b', '//', '%', '%2F', 'a%20b', '?', 'a?b=c', '#', '&=', '+', '\t', '\\', '"', "'", 'é😀',
  'ключ', '...', 'x/../y', '../../..', '.hidden', 'values', 'bulk', 'a:b', '{}', '@', ';', '~', '\u0000', '\u202e',
];
