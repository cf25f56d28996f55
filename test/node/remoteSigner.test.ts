import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type RequestOptions, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { parsePublicKey, publicKeyOf, verifySignature } from '../../consensus/bls.ts'
import { checkpointDigest, helloDigest, NIL, statementDigest } from '../../consensus/digest.ts'
import { guardAbove } from '../../consensus/signerGuard.ts'
import { assert } from '../../execution/assert.ts'
import { type CheckpointGuardFile, openCheckpointGuardFile } from '../../node/checkpointGuardFile.ts'
import { type CheckpointSigner, openCheckpointSigner } from '../../node/checkpointSigner.ts'
import { UsageError } from '../../node/config.ts'
import { KeyError } from '../../node/keys.ts'
import { createLog } from '../../node/log.ts'
import { openSigner } from '../../node/openSigner.ts'
import { openRemoteKey } from '../../node/remoteSigner.ts'
import type { ValidatorSigner } from '../../node/signer.ts'
import { openSignerGuardFile, type SignerGuardFile } from '../../node/signerGuardFile.ts'
import { type SignerServer, startSignerServer } from '../../node/signerServer.ts'
import { encodeCheckpointQuestion, loadToken, parseSignerAddress } from '../../node/signerWire.ts'
import { checkpointHash } from '../../settlement/checkpoint.ts'
import { blockHash, CHAIN_ID, fakeProposal, fakeVote, secretKey } from '../consensus/fixtures.ts'

const KEY = { secret: secretKey(0), publicKey: publicKeyOf(secretKey(0)) }
const PUBLIC_KEY = parsePublicKey(KEY.publicKey)
const TOKEN = 'a-token-of-thirty-two-characters-or-more'
const DOMAIN = { chainId: CHAIN_ID, epochOf: (height: number) => Math.floor(height / 100) }

let folder: string
let lines: string[]
let closers: (() => Promise<void> | void)[]
const log = createLog({ level: 'info', json: true, write: (line) => lines.push(line) })

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tributary-signer-'))
  lines = []
  closers = []
})
afterEach(async () => {
  for (const close of closers.reverse()) await close()
  rmSync(folder, { recursive: true, force: true })
})

type ServerSetting = {
  readonly listen?: string
  readonly guardFile?: SignerGuardFile
  readonly checkpointGuard?: CheckpointGuardFile
  onFatal?(error: unknown): void
}

async function startServer(setting: ServerSetting = {}): Promise<SignerServer> {
  const guardFile = setting.guardFile ?? (await openSignerGuardFile(join(folder, 'signer')))
  if (!setting.guardFile) closers.push(guardFile.close)
  const checkpointGuard = setting.checkpointGuard ?? openCheckpointGuardFile(join(folder, 'signer'))
  if (!setting.checkpointGuard) closers.push(checkpointGuard.close)
  const address = parseSignerAddress(setting.listen ?? 'http://127.0.0.1:0', '--listen')
  const onFatal = setting.onFatal ?? ((error) => expect.unreachable(String(error)))
  const server = await startSignerServer({
    ...{ key: KEY, chainId: CHAIN_ID, token: TOKEN, address, guardFile, checkpointGuard, log },
    nowMs: Date.now,
    onFatal,
  })
  closers.push(server.close)
  return server
}

async function connect(url: string, token = TOKEN, chainId = CHAIN_ID): Promise<ValidatorSigner> {
  const address = parseSignerAddress(url, '--signer')
  const key = await openRemoteKey({ address, token, chainId, startMs: 300, log })
  const signer = await openSigner(key.parts(), { domain: { ...DOMAIN, chainId }, log })
  closers.push(signer.close)
  return signer
}

/** In place of a guard of votes, where no vote is asked for. */
const quietGuard: SignerGuardFile = { read: () => undefined, write() {}, close: async () => {} }

/** One question by hand. */
function ask(url: string, path: string, { body = '', token = TOKEN, method = 'POST' } = {}): Promise<{ status: number; text: string }> {
  const options: RequestOptions = { method, headers: { authorization: `Bearer ${token}` }, agent: false }
  return new Promise((resolve, reject) => {
    const asked = request(new URL(path, url), options, (response) => {
      let text = ''
      response.on('data', (chunk) => {
        text += chunk
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }))
    })
    asked.on('error', reject)
    asked.end(body)
  })
}

const vote = (kind: 'prevote' | 'precommit', height: number, round: number, block = 1, validRound = -1) =>
  fakeVote({ kind, validator: 0, height, round, blockHash: blockHash(block), validRound })

test.each(['http://127.0.0.1:0', 'unix'])('signs as a key in the process would: over %s', async (listen) => {
  const server = await startServer({ listen: listen === 'unix' ? `unix:${join(folder, 'socket')}` : listen })
  const signer = await connect(server.url)
  expect(signer.publicKey).toBe(KEY.publicKey)
  assert(PUBLIC_KEY)
  for (const message of [fakeProposal({ height: 101, blockHash: blockHash(1) }), vote('prevote', 101, 0), vote('precommit', 101, 0)]) {
    const digest = statementDigest({ chainId: CHAIN_ID, epoch: 1 }, message)
    expect(verifySignature(PUBLIC_KEY, digest, await signer.sign(message))).toBe(true)
  }
  expect(verifySignature(PUBLIC_KEY, helloDigest(blockHash(1), '12D3KooW'), await signer.signHello(blockHash(1), '12D3KooW'))).toBe(true)
})

const checkpoint = {
  ...{ lastBlock: 7n, blockHash: blockHash(1), evmRoot: blockHash(2), ledgerRoot: blockHash(3) },
  ...{ batchIndex: 4n, batchAccumulator: blockHash(5), depositCursor: 6n },
}
const checkpoints = { l1ChainId: 31_337, manager: '0x00000000000000000000000000000000000000ca' } as const

async function connectForCheckpoints(url: string, chainId = CHAIN_ID): Promise<CheckpointSigner> {
  const key = await openRemoteKey({ address: parseSignerAddress(url, '--signer'), token: TOKEN, chainId: CHAIN_ID, startMs: 300, log })
  const signer = await openCheckpointSigner(key.parts(), { chainId, domain: checkpoints, directory: join(folder, 'unused'), log })
  closers.push(signer.close)
  return signer
}

test('signs checkpoints as a key in the process would, and no two states of a block, whoever asks and whenever', async () => {
  const guards = { checkpointGuard: openCheckpointGuardFile(join(folder, 'checkpoints')) }
  const server = await startServer(guards)
  const signer = await connectForCheckpoints(server.url)
  assert(PUBLIC_KEY)
  const digest = checkpointDigest(checkpoints, checkpointHash(checkpoint))
  expect(verifySignature(PUBLIC_KEY, digest, await signer.sign(checkpoint))).toBe(true)
  // L1 took the batch back, and has it again in another place.
  const moved = { ...checkpoint, batchIndex: 5n, batchAccumulator: blockHash(6) }
  const movedDigest = checkpointDigest(checkpoints, checkpointHash(moved))
  expect(verifySignature(PUBLIC_KEY, movedDigest, await signer.sign(moved))).toBe(true)
  await server.close()
  guards.checkpointGuard.close()

  const checkpointGuard = openCheckpointGuardFile(join(folder, 'checkpoints'))
  closers.push(checkpointGuard.close)
  const again = await connectForCheckpoints((await startServer({ checkpointGuard, guardFile: quietGuard })).url)
  await again.sign(checkpoint)
  for (const changes of [{ blockHash: blockHash(9) }, { evmRoot: blockHash(9) }, { ledgerRoot: blockHash(9) }, { depositCursor: 9n }])
    await expect(again.sign({ ...checkpoint, ...changes })).rejects.toMatchObject({ code: 'refused', message: /otherState/ })
  const elsewhere = await connectForCheckpoints((await startServer({ checkpointGuard, guardFile: quietGuard })).url, CHAIN_ID + 1)
  await expect(elsewhere.sign(checkpoint)).rejects.toMatchObject({ code: 'refused', message: /otherChain/ })
})

test.each([
  { manager: '0xCA' },
  { blockHash: '0x1' },
  { lastBlock: 0 },
  { lastBlock: '7' },
  { depositCursor: -1 },
  { batchAccumulator: undefined },
])('a question for a checkpoint with %j is none', async (changes) => {
  const { url } = await startServer()
  const good = JSON.parse(encodeCheckpointQuestion({ checkpoint, domain: checkpoints, chainId: CHAIN_ID }))
  expect((await ask(url, '/checkpoint', { body: JSON.stringify(good) })).status).toBe(200)
  expect(await ask(url, '/checkpoint', { body: JSON.stringify({ ...good, ...changes }) })).toEqual({
    status: 400,
    text: '{"code":"badQuestion"}',
  })
})

test('a guard of checkpoints that cannot be written ends the signer', async () => {
  const failures: unknown[] = []
  const checkpointGuard: CheckpointGuardFile = {
    check() {
      throw new Error('no space left on device')
    },
    close() {},
  }
  const { url } = await startServer({ checkpointGuard, onFatal: (error) => failures.push(error) })
  const body = encodeCheckpointQuestion({ checkpoint, domain: checkpoints, chainId: CHAIN_ID })
  expect((await ask(url, '/checkpoint', { body })).status).toBe(500)
  expect(await ask(url, '/key', { method: 'GET' })).toEqual({ status: 500, text: '{"code":"guardFailed"}' })
  expect(failures).toHaveLength(1)
})

test('two nodes of one signer: what one was given, the other cannot contradict', async () => {
  const server = await startServer()
  const [a, b] = [await connect(server.url), await connect(server.url)]
  const first = await a.sign(vote('prevote', 5, 0, 1))
  expect(await b.sign(vote('prevote', 5, 0, 1))).toEqual(first)
  await expect(b.sign(vote('prevote', 5, 0, 2))).rejects.toMatchObject({ code: 'refused', retryable: false, message: /otherDigest/ })
  await a.sign(vote('precommit', 5, 0, 1))
  await expect(b.sign(vote('prevote', 5, 0, 1))).rejects.toMatchObject({ code: 'refused', message: /lowerSlot/ })
  await expect(b.sign(vote('prevote', 5, 1, 2))).rejects.toMatchObject({ code: 'refused', message: /locked/ })
  await b.sign(vote('prevote', 5, 2, 2, 0))

  const { text } = await ask(server.url, '/metrics', { method: 'GET' })
  expect(text.split('\n').filter((line) => !line.startsWith('#'))).toEqual([
    'tributary_signer_refused_total{code="locked"} 1',
    'tributary_signer_refused_total{code="lowerSlot"} 1',
    'tributary_signer_refused_total{code="otherDigest"} 1',
    'tributary_signer_signed_total{kind="precommit"} 1',
    'tributary_signer_signed_total{kind="prevote"} 3',
    '',
  ])
  expect(lines.filter((line) => line.includes('the signer refuses')).map((line) => JSON.parse(line).code)).toEqual([
    'otherDigest',
    'lowerSlot',
    'locked',
  ])
})

test('the guard is on disk before a signature leaves, and the next process goes on from it', async () => {
  const guardFile = await openSignerGuardFile(join(folder, 'signer'))
  const server = await startServer({ guardFile })
  const signer = await connect(server.url)
  for (const message of [vote('prevote', 5, 0), vote('precommit', 5, 0)]) {
    await signer.sign(message)
    expect(readFileSync(join(folder, 'signer', 'guard')).length).toBe(66)
  }
  await expect(openSignerGuardFile(join(folder, 'signer'))).rejects.toThrow(KeyError) // one process at a time
  await server.close()
  await guardFile.close()
  const again = await connect((await startServer()).url)
  await expect(again.sign(vote('precommit', 5, 0, 2))).rejects.toMatchObject({ code: 'refused' })
  expect(await again.sign(vote('precommit', 5, 0, 1))).toHaveLength(96)
})

test('a guard that cannot be written signs nothing, now and later, and ends the process', async () => {
  const failures: unknown[] = []
  const broken: SignerGuardFile = {
    read: () => undefined,
    write() {
      throw new Error('no space left on device')
    },
    close: async () => {},
  }
  const server = await startServer({ guardFile: broken, onFatal: (error) => failures.push(error) })
  const body = JSON.stringify({ chainId: CHAIN_ID, epoch: 0, kind: 'prevote', height: 1, round: 0, validRound: -1, blockHash: NIL })
  for (const _ of [1, 2]) expect(await ask(server.url, '/sign', { body })).toEqual({ status: 500, text: '{"code":"guardFailed"}' })
  expect(failures).toHaveLength(1)
})

test('a damaged guard, and a guard of its own for a key that has one, are not begun with', async () => {
  const guardFile = await openSignerGuardFile(join(folder, 'signer'), guardAbove(9, CHAIN_ID))
  const signer = await connect((await startServer({ guardFile })).url)
  await expect(signer.sign(vote('prevote', 9, 5))).rejects.toMatchObject({ code: 'refused' })
  await signer.sign(vote('prevote', 10, 0))
  await guardFile.close()
  await expect(openSignerGuardFile(join(folder, 'signer'), guardAbove(3, CHAIN_ID))).rejects.toThrow(KeyError)
  writeFileSync(join(folder, 'signer', 'guard'), 'half a gua')
  await expect(openSignerGuardFile(join(folder, 'signer'))).rejects.toThrow(KeyError)
})

test('who has no token, asks for another chain, or sends what is no question is refused with a code', async () => {
  const { url } = await startServer()
  const question = { chainId: CHAIN_ID, epoch: 0, kind: 'prevote', height: 1, round: 1, validRound: 0, blockHash: blockHash(1) }
  const sent = (change: object) => ask(url, '/sign', { body: JSON.stringify({ ...question, ...change }) })
  expect(await ask(url, '/sign', { token: `${TOKEN}x`, body: JSON.stringify(question) })).toEqual({
    status: 401,
    text: '{"code":"badToken"}',
  })
  expect((await ask(url, '/metrics', { token: '', method: 'GET' })).status).toBe(401)
  const bad = { status: 400, text: '{"code":"badQuestion"}' }
  const wrong = [
    { kind: 'commit' },
    { height: 0 },
    { height: 1.5 },
    { round: 2 ** 32 },
    { validRound: 1 },
    { kind: 'precommit' },
    { blockHash: NIL },
    { blockHash: '0x12' },
    { kind: 'proposal', blockHash: NIL, validRound: -1 },
    { epoch: -1 },
    { chainId: '1' },
  ]
  for (const change of wrong) expect(await sent(change)).toEqual(bad)
  for (const body of ['', '[]', 'null', '{', '"x"']) expect(await ask(url, '/sign', { body })).toEqual(bad)
  expect(await ask(url, '/hello', { body: JSON.stringify({ genesisHash: blockHash(1), peerId: '../..' }) })).toEqual(bad)
  expect((await sent({ chainId: CHAIN_ID + 1 })).status).toBe(409)
  expect((await ask(url, '/sign', { body: 'x'.repeat(1_025) })).status).toBe(413)
  expect((await ask(url, '/nothing', {})).status).toBe(404)
  expect((await sent({})).status).toBe(200)
  await expect(connect(url, `${TOKEN}x`)).rejects.toMatchObject({ name: 'SignerError', code: 'refused' })
  await expect(connect(url, TOKEN, CHAIN_ID + 1)).rejects.toMatchObject({ name: 'SignerError', code: 'refused' })
})

/** A server in the signer's place that answers as it is told. */
async function startFalse(answer: (path: string, respond: (status: number, members: object) => void) => void): Promise<string> {
  const server: Server = createServer((asked, response) => {
    answer(asked.url ?? '', (status, members) => response.writeHead(status).end(JSON.stringify(members)))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closers.push(
    () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  )
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
const KEY_ANSWER = { publicKey: KEY.publicKey, chainId: CHAIN_ID }

test('a signer that comes back gives the vote that the round waits for; one that does not costs it, and nothing else', async () => {
  let away = 2
  const url = await startFalse((path, respond) => {
    if (path === '/key') return respond(200, KEY_ANSWER)
    if (away-- > 0) return respond(503, { code: 'busy' })
    respond(409, { code: 'lowerSlot' })
  })
  const signer = await connect(url)
  await expect(signer.sign(vote('prevote', 1, 0))).rejects.toMatchObject({ code: 'refused' }) // the third answer
  away = Number.MAX_SAFE_INTEGER
  const lost = signer.sign(vote('prevote', 2, 0)).catch((error) => error.code)
  await expect.poll(() => lines.length).toBe(3)
  away = 0
  await expect(signer.sign(vote('prevote', 2, 1))).rejects.toMatchObject({ code: 'refused' })
  expect(await lost).toBe('passed')
  const events = ['the signer does not answer', 'the signer answers']
  expect(lines.map((line) => JSON.parse(line).event)).toEqual([...events, ...events])
})

test('a question is given up for one of a later round, and in one round they keep their order', async () => {
  const asked: string[] = []
  let held: ((status: number, members: object) => void)[] = []
  const url = await startFalse((path, respond) => {
    if (path === '/key') return respond(200, KEY_ANSWER)
    asked.push(path)
    held.push(respond)
  })
  const signer = await connect(url)
  const outcome = (signed: Promise<unknown>) => signed.catch((error) => error.code)
  const first = [vote('prevote', 1, 0), vote('precommit', 1, 0)].map((message) => outcome(signer.sign(message)))
  await expect.poll(() => asked.length).toBe(1) // the precommit waits for its prevote
  const later = outcome(signer.sign(vote('prevote', 1, 1)))
  expect(await Promise.all(first)).toEqual(['passed', 'passed'])
  await expect.poll(() => asked.length).toBe(2)
  held.at(-1)?.(409, { code: 'locked' })
  expect(await later).toBe('refused')
  const last = outcome(signer.sign(vote('prevote', 1, 2)))
  await expect.poll(() => asked.length).toBe(3)
  await signer.close()
  expect(await last).toBe('closed')
  expect(await outcome(signer.sign(vote('prevote', 1, 3)))).toBe('closed')
  held = []
})

test('what is no signature of the key is not believed', async () => {
  const url = await startFalse((path, respond) => {
    if (path === '/key') respond(200, KEY_ANSWER)
    else respond(200, { signature: path === '/sign' ? `0x${'11'.repeat(96)}` : 'no' })
  })
  const signer = await connect(url)
  await expect(signer.sign(vote('prevote', 1, 0))).rejects.toMatchObject({ code: 'badAnswer' })
  await expect(signer.signHello(blockHash(1), '12D3KooW')).rejects.toMatchObject({ code: 'badAnswer' })
  const keyless = await startFalse((_, respond) => respond(200, { publicKey: `0x${'00'.repeat(48)}`, chainId: CHAIN_ID }))
  await expect(connect(keyless)).rejects.toMatchObject({ code: 'badAnswer' })
})

test('nobody there at the start: it is said in time', async () => {
  await expect(connect(`unix:${join(folder, 'nobody')}`)).rejects.toMatchObject({ name: 'SignerError', code: 'deadline' })
})

test('a token and what is signed cross no network in the open', () => {
  for (const text of [
    'http://10.0.0.1:9700',
    'http://signer.example:9700',
    'ftp://127.0.0.1',
    'unix:relative',
    '127.0.0.1:9700',
    'http://a:b@127.0.0.1',
  ])
    expect(() => parseSignerAddress(text, '--signer')).toThrow(UsageError)
  expect(parseSignerAddress('https://signer.example', '--signer')).toEqual({ kind: 'https', host: 'signer.example', port: 443 })
  expect(parseSignerAddress('http://[::1]:9700', '--signer')).toEqual({ kind: 'http', host: '::1', port: 9700 })
})

test('a token is made once, and a file without one is said', () => {
  const file = join(folder, 'token')
  expect(() => loadToken(file, { create: false })).toThrow(KeyError)
  const token = loadToken(file, { create: true })
  expect(loadToken(file, { create: true })).toBe(token)
  writeFileSync(file, 'short')
  expect(() => loadToken(file, { create: false })).toThrow(KeyError)
})
