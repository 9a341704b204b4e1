// 2,000 requests, a failure, an abort, a hook; and the program ends while requests run.
'use strict';
const assert = require('node:assert');
const { Session, RequestError } = require('./requests_futures.js');

const url = process.env.RF_TEST_HTTP;

async function main() {
  const session = new Session({ atOnce: 16 });
  const responses = await Promise.all(Array.from({ length: 2000 }, () => session.get(`${url}/hello`)));
  assert(responses.every((response) => response.content.toString() === 'Hello, world!'));
  const posted = await session.request('POST', `${url}/post`, { json: { name: 'Ada' } });
  assert.equal(JSON.parse(posted.content).json.name, 'Ada');

  const failure = await session.get('http://127.0.0.1:1/').catch((error) => error);
  assert(failure instanceof RequestError && failure.kind === 'RF_ERROR_CONNECTION' && failure.url === 'http://127.0.0.1:1/');
  const aborted = await session.get(`${url}/delay/60`, { signal: AbortSignal.timeout(50) }).catch((error) => error);
  assert(['RF_ERROR_ABORTED', 'RF_ERROR_CANCELLED'].includes(aborted.kind));

  const seen = [];
  await session.get(`${url}/get`, { hook: (response) => seen.push(response.contentType) });
  assert.deepEqual(seen, ['application/json']);
  const refused = await session.get(`${url}/get`, { hook: () => { throw new Error('not this one'); } }).catch((error) => error);
  assert(refused.kind === 'RF_ERROR_HOOK' && refused.message === 'not this one');

  const running = Array.from({ length: 20 }, () => session.get(`${url}/delay/60`, { hook: () => {} }).catch((error) => error.kind));
  await session.close({ abort: true });
  assert((await Promise.all(running)).every((kind) => kind === 'RF_ERROR_ABORTED' || kind === 'RF_ERROR_CANCELLED'));
  console.log('done');
}

main();
