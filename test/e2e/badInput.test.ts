/**
 * A running node and everything that is wrong: bodies, sockets, transactions. Each gets a typed error, none changes the ledger or the accounts, and the
 * node goes on making blocks. L1 stands still meanwhile, so that the ledger root has no reason of its own to move.
 */
import { connect } from 'node:net'
import fc from 'fast-check'
import {
  bytesToHex,
  concatHex,
  fromRlp,
  type Hex,
  hexToBytes,
  parseEther,
  parseSignature,
  serializeTransaction,
  slice,
  toHex,
  toRlp,
  zeroAddress,
  zeroHash,
} from 'viem'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { DEVNET_PARAMS } from '../../genesis/devnet.ts'
import { EVIDENCE_BYTES, LIMIT } from '../../genesis/params.ts'
import { nativeTypedData, serializeNative } from '../../rpc/viemChain.ts'
import { type Answer, ask, devnetAccount, type L2Client, l2Client, lower, type Stage, startStage, until } from './stage.ts'

const SENDER = 1
const CALLS_PER_BODY = 100
const SECP256K1_N = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n

let stage: Stage
let rpc: string
let l2: L2Client
let before: Awaited<ReturnType<typeof standing>>

beforeAll(async () => {
  stage = await startStage()
  rpc = stage.devnet.ready().rpc
  l2 = l2Client(rpc, SENDER)
  await stage.l1.mineEvery(0)
  const { number } = await stage.l1.client.getBlock()
  await until('the origin behind the head of L1', async () => ((await l2.getL1Info()).number === number - 1n ? true : undefined))
})

afterAll(() => stage.close())

beforeEach(async () => {
  before = await standing()
})

test('bodies that are no calls, or too many, or too large', async () => {
  const post = async (body: string | Uint8Array, headers: Record<string, string> = { 'content-type': 'application/json' }) => {
    const response = await fetch(rpc, { method: 'POST', headers, body: body as string })
    const text = await response.text()
    return { status: response.status, code: text === '' ? undefined : (JSON.parse(text) as Answer).error?.code }
  }
  const call = { jsonrpc: '2.0', id: 1, method: 'eth_chainId', params: [] }
  for (const body of ['', '{', '\u0000', 'eth_chainId', Uint8Array.of(0xff, 0xfe)])
    expect(await post(body)).toEqual({ status: 200, code: -32700 })
  for (const body of [[], {}, null, 7, { ...call, jsonrpc: '1.0' }, { ...call, method: 7 }, Array(CALLS_PER_BODY + 1).fill(call)]) {
    expect(await post(JSON.stringify(body))).toEqual({ status: 200, code: -32600 })
  }
  expect(await post('['.repeat(100_000))).toEqual({ status: 200, code: -32600 })
  expect(await post(JSON.stringify({ ...call, method: 'eth_nothing' }))).toEqual({ status: 200, code: -32601 })
  expect(await post(JSON.stringify({ ...call, params: { a: 1 } }))).toEqual({ status: 200, code: -32602 })
  expect(await post(JSON.stringify(call), { 'content-type': 'text/plain' })).toEqual({ status: 415, code: -32600 })
  expect(await post(`"${'x'.repeat(2 ** 21)}"`)).toEqual({ status: 413, code: -32600 })
  expect((await fetch(rpc, { method: 'PUT' })).status).toBe(405)
  await expectUntouched()
})

test('bytes on the socket that are no HTTP, and half a request', async () => {
  const { hostname, port } = new URL(rpc)
  const talk = (bytes: string | Uint8Array, answered: boolean) =>
    new Promise<string>((resolve, reject) => {
      const socket = connect(Number(port), hostname, () => socket.write(bytes))
      let text = ''
      socket.on('data', (chunk) => {
        text += chunk
      })
      socket.on('error', (error: NodeJS.ErrnoException) => (error.code === 'ECONNRESET' ? resolve(text) : reject(error)))
      socket.on('close', () => resolve(text))
      if (!answered) setTimeout(() => socket.destroy(), 200)
    })
  expect(await talk('\u0016\u0003\u0001\u0002hello', true)).toMatch(/^HTTP\/1.1 400/)
  expect(await talk('GET / HTTP/9.9\r\n\r\n', true)).toMatch(/^HTTP\/1.1 [45]/)
  const head = `POST / HTTP/1.1\r\nhost: ${hostname}:${port}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n`
  expect(await talk(`${head}{"jsonrpc":`, false)).toBe('')
  expect(await talk(`POST / HTTP/1.1\r\nhost: evil.example\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`, true)).toMatch(
    /^HTTP\/1.1 403/,
  )

  const socket = new WebSocket(stage.devnet.ready().ws)
  await new Promise((resolve) => socket.once('open', resolve))
  const closed = new Promise<number>((resolve) => socket.once('close', resolve))
  const answer = new Promise<string>((resolve) => socket.once('message', (data) => resolve(String(data))))
  socket.send(Uint8Array.of(0, 1, 2))
  expect(JSON.parse(await answer)).toMatchObject({ error: { code: -32700 } })
  socket.send('x'.repeat(2 ** 21))
  expect(await closed).toBe(1009) // message too big
  await expectUntouched()
})

test('any parameters of any method get an answer that is no defect of the node', async () => {
  const { methods } = (await ask(rpc, 'rpc.discover')).result as { methods: { name: string }[] }
  const word = fc.constantFrom(
    'latest',
    'finalized',
    '0x',
    '0x0',
    '0x1',
    '0xffffffffffffffffff',
    zeroAddress,
    zeroHash,
    'accounts',
    'Transfer',
  )
  const members = [
    'to',
    'from',
    'data',
    'value',
    'gas',
    'fromBlock',
    'toBlock',
    'topics',
    'address',
    'type',
    'fields',
    'account',
    'blockHash',
  ]
  const value = fc.oneof(word, fc.jsonValue({ maxDepth: 2 }), fc.dictionary(fc.constantFrom(...members), fc.oneof(word, fc.array(word))))
  const call = fc.record({ method: fc.constantFrom(...methods.map(({ name }) => name)), params: fc.array(value, { maxLength: 4 }) })
  await fc.assert(
    fc.asyncProperty(fc.array(call, { minLength: CALLS_PER_BODY, maxLength: CALLS_PER_BODY }), async (calls) => {
      const answers = await askAll(calls)
      const defects = answers.flatMap(({ error }, i) => (error?.code === -32_603 ? [calls[i]] : []))
      expect(defects).toEqual([])
    }),
    { numRuns: 8, endOnFailure: true },
  )
  await expectUntouched()
})

test('a transaction of any kind, cut at every byte, with a byte behind it, or with any byte changed', async () => {
  const whole = await goodTransactions()
  const refusals = new Set<string>()
  for (const raw of whole) {
    const bytes = hexToBytes(raw)
    const cut = Array.from(bytes, (_, length) => bytesToHex(bytes.subarray(0, length)))
    // Some other bytes are a transaction of somebody else, who has nothing.
    const changed = Array.from(bytes, (_, at) => bytesToHex(bytes.map((byte, i) => (i === at ? byte ^ (1 << (at % 8)) : byte))))
    for (const code of await codesOf([...cut, concatHex([raw, '0x00']), ...changed])) refusals.add(code)
  }
  // What a byte can do: nothing that is read, another type, chain or signer, a field or a bound that is wrong.
  expect([...refusals].filter((code) => !/^[a-z][A-Za-z]+$/.test(code))).toEqual([])
  expect([...refusals]).toEqual(expect.arrayContaining(['emptyTransaction', 'malformedTransaction', 'wrongChain', 'insufficientFunds']))
  await expectUntouched()
})

test('fields beyond their bounds, signed by their sender', async () => {
  const cases: readonly (readonly [string, Hex | Promise<Hex>])[] = [
    ['badName', native('DatanetCreate', { ...DATANET, name: 'x'.repeat(LIMIT.nameBytes + 1) })],
    ['badLicence', native('DatanetCreate', { ...DATANET, licence: 2 ** 31 })],
    ['badCurator', native('DatanetCreate', { ...DATANET, curator: zeroAddress })],
    ['badJoinPolicy', native('DatanetCreate', { ...DATANET, joinPolicy: 2 })],
    ['badContentId', native('DatanetUpload', { ...UPLOAD, contentId: toHex(new Uint8Array(LIMIT.contentIdBytes + 1)) })],
    ['badContributors', native('DatanetUpload', { ...UPLOAD, contributors: [] })],
    ['badContributors', native('DatanetUpload', { ...UPLOAD, contributors: Array(LIMIT.contributors + 1).fill(UPLOAD.contributors[0]) })],
    ['badEndpoint', native('WorkerRegister', { ...WORKER, endpoint: 'x'.repeat(LIMIT.endpointBytes + 1) })],
    ['unknownAction', native('WorkerRegister', { ...WORKER, action: 3 })],
    ['badEpochs', native('Claim', { epochs: Array.from({ length: LIMIT.epochsPerClaim + 1 }, (_, i) => i) })],
    ['badEpochs', native('Claim', { epochs: [2, 1] })],
    ['unknownKind', native('Transfer', { ...TRANSFER, kind: 6 })],
    ['badAmount', native('Transfer', { ...TRANSFER, amount: 0n })],
    ['unknownVerdict', native('DatanetReview', { datanetId: 1, uploadIndex: 0, verdict: 5, qualityBps: 0, reason: 0 })],
    ['malformedTransaction', longString(70_000)],
    ['oversizedTransaction', longString(LIMIT.txBytes)],
    ['malformedTransaction', withItem(5, toHex(2n ** 96n))],
    ['malformedTransaction', withItem(2, toHex(2n ** 96n))],
    ['malformedTransaction', withItem(1, '0x0001')],
    ['malformedTransaction', withItem(4, '0x1234')],
    ['malformedTransaction', withItem(3, ['0x01'])],
  ]
  for (const [code, raw] of cases) {
    const [got] = await codesOf([await raw])
    expect(got).toBe(code)
  }
  await expectUntouched()
})

test('signatures that are none, and transactions that are not for a pool', async () => {
  const good = await native('Transfer', TRANSFER)
  const s = BigInt(itemsOf(good).at(-1) as Hex)
  const ethereum = { type: 'eip1559', chainId: DEVNET_PARAMS.chainId, to: zeroAddress, gas: 21_000n, maxFeePerGas: 10n ** 12n } as const
  const account = devnetAccount(SENDER)
  const cases: readonly (readonly [RegExp, Hex])[] = [
    [/^malformedTransaction$/, withItem(6, '0x02', good)],
    [/^(malformedTransaction|badSignature)$/, withItem(7, '0x', good)],
    [/^(malformedTransaction|badSignature)$/, withItem(8, '0x', good)],
    [/^(malformedTransaction|badSignature)$/, withItem(7, toHex(SECP256K1_N), good)],
    [/^malformedTransaction$/, withItem(8, toHex(SECP256K1_N - s), good)],
    [/^wrongChain$/, withItem(0, '0x01', good)],
    [/^insufficientFunds$/, withItem(6, itemsOf(good)[6] === '0x' ? '0x01' : '0x', good)],
    [/^nonceTooHigh$/, await native('Transfer', TRANSFER, 1_000_000n)],
    [/^feeTooLow$/, await native('Transfer', TRANSFER, 0n, 1n)],
    [/^insufficientFunds$/, await native('Transfer', TRANSFER, 0n, parseEther('2000000'))],
    [/^depositNotAccepted$/, deposit()],
    [/^reportNotAccepted$/, `0x5a${'01'.repeat(EVIDENCE_BYTES)}`],
    [/^blobTransaction$/, '0x03c0'],
    [/^unknownType$/, '0x5f'],
    [/^unknownType$/, '0x05'],
    [/^(malformedTransaction|wrongChain)$/, await account.signTransaction({ ...ethereum, chainId: 1 })],
    [/^gasTooLow$/, await account.signTransaction({ ...ethereum, gas: 20_999n })],
    [/^insufficientFunds$/, await account.signTransaction({ ...ethereum, value: parseEther('2000000') })],
    [/^nonceTooHigh$/, await account.signTransaction({ ...ethereum, nonce: 1_000_000 })],
    [/^(malformedTransaction|badSignature)$/, serializeTransaction(ethereum)],
    [/^(malformedTransaction|badSignature)$/, serializeTransaction(ethereum, { r: zeroHash, s: zeroHash, yParity: 0 })],
  ]
  for (const [i, [code, raw]] of cases.entries()) expect((await codesOf([raw]))[0], `case ${i}`).toMatch(code)
  await expectUntouched()
})

test('after all of it a good transaction is taken', async () => {
  const hash = await l2.transfer({ to: zeroAddress.replace(/0$/, '7') as Hex, amount: 1n })
  expect(await l2.waitForTransactionReceipt({ hash })).toMatchObject({ status: 'success' })
  const { stderr } = stage.devnet.output()
  expect(stderr.split('\n').filter((line) => line.includes('"level":"error"'))).toEqual([])
})

const TRANSFER = { kind: 0, to: lower(devnetAccount(2).address), amount: 5n }
const DATANET = { name: 'poems', schemaHash: zeroHash, licence: 3, curator: TRANSFER.to, joinPolicy: 0, uploadBond: 0n }
const UPLOAD = {
  datanetId: 1,
  contentRoot: `0x${'11'.repeat(32)}`,
  contentId: '0x0155122000ff',
  recordCount: 3,
  byteCount: 300n,
  contributors: [{ account: TRANSFER.to, shareBps: 10_000, role: 1 }],
}
const WORKER = { action: 0, hotKey: TRANSFER.to, runtimeProfileHash: zeroHash, stake: parseEther('1000'), endpoint: 'https://a.example' }

/** One of each shape, any of which the pool would take. */
async function goodTransactions(): Promise<Hex[]> {
  const account = devnetAccount(SENDER)
  const common = { chainId: DEVNET_PARAMS.chainId, nonce: 0, to: TRANSFER.to, value: 1n, gas: 21_000n } as const
  return [
    await native('Transfer', TRANSFER),
    await native('DatanetUpload', UPLOAD),
    await native('WorkerRegister', WORKER),
    await account.signTransaction({ ...common, type: 'eip1559', maxFeePerGas: 10n ** 12n, maxPriorityFeePerGas: 1n }),
    await account.signTransaction({ ...common, type: 'legacy', gasPrice: 10n ** 12n }),
  ]
}

/** A native transaction, signed by the sender, that nobody has looked at before the node does. */
async function native(nativeType: string, fields: Readonly<Record<string, unknown>>, nonce = 0n, maxFee = parseEther('1')): Promise<Hex> {
  const transaction = { type: 'native', nativeType, chainId: DEVNET_PARAMS.chainId, nonce, maxFee, native: fields } as const
  const signature = await devnetAccount(SENDER).signTypedData(nativeTypedData(transaction))
  return serializeNative(transaction, parseSignature(signature))
}

type RlpItem = Hex | readonly RlpItem[]

/** The items of a native transaction: chain id, nonce, maxFee, the fields, yParity, r, s. */
function itemsOf(raw: Hex): RlpItem[] {
  return fromRlp(slice(raw, 1), 'hex') as RlpItem[]
}

/** A transfer with another item at this place; its signature is that of the one before. */
function withItem(at: number, item: RlpItem, raw: Hex = UNSIGNED_TRANSFER): Hex {
  return concatHex([slice(raw, 0, 1), toRlp(itemsOf(raw).map((one, i) => (i === at ? item : one)) as Hex[])])
}

const UNSIGNED_TRANSFER = concatHex([
  '0x50',
  toRlp([toHex(DEVNET_PARAMS.chainId), '0x', '0x01', '0x', TRANSFER.to, '0x05', '0x', `0x${'22'.repeat(32)}`, `0x${'22'.repeat(32)}`]),
])

/** A datanet whose name has so many bytes. */
function longString(bytes: number): Hex {
  const name = toHex(new Uint8Array(bytes).fill(0x61))
  const items = [
    toHex(DEVNET_PARAMS.chainId),
    '0x',
    '0x01',
    name,
    zeroHash,
    '0x03',
    TRANSFER.to,
    '0x',
    '0x',
    '0x',
    `0x${'22'.repeat(32)}`,
  ] as Hex[]
  return concatHex(['0x51', toRlp([...items, `0x${'22'.repeat(32)}`])])
}

function deposit(): Hex {
  return concatHex(['0x7e', toRlp([zeroHash, TRANSFER.to, TRANSFER.to, '0x05', '0x05', '0x5208', '0x', '0x'])])
}

/** The rules by which the node refuses these transactions. All must be refused. */
async function codesOf(transactions: readonly Hex[]): Promise<string[]> {
  const answers = await askAll(transactions.map((raw) => ({ method: 'eth_sendRawTransaction', params: [raw] })))
  return answers.map(({ result, error }, i) => {
    expect(result, `taken: ${transactions[i]?.slice(0, 500)}`).toBeUndefined()
    expect(error?.code, JSON.stringify(error)).toBe(-32_000)
    return (error?.data as { code?: string } | undefined)?.code ?? ''
  })
}

/** Asks in bodies of as many calls as one may hold, and not too many bytes. */
async function askAll(calls: readonly { readonly method: string; readonly params: readonly unknown[] }[]): Promise<Answer[]> {
  const answers: Answer[] = []
  for (let from = 0; from < calls.length; from += CALLS_PER_BODY) {
    const body = calls.slice(from, from + CALLS_PER_BODY).map((call, id) => ({ jsonrpc: '2.0', id, ...call }))
    const response = await fetch(rpc, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
    answers.push(...((await response.json()) as Answer[]))
  }
  return answers
}

/** Everything that a bad input must not move. */
async function standing() {
  const { ledgerRoot } = await l2.getLedgerProof({ table: 'accounts', id: { account: lower(l2.account.address) } })
  const address = l2.account.address
  const [account, nonce, balance] = await Promise.all([
    l2.getLedgerAccount({ account: address }),
    l2.getTransactionCount({ address, blockTag: 'pending' }),
    l2.getBalance({ address }),
  ])
  const { result: pool } = await ask(rpc, 'txpool_status')
  return { ledgerRoot, account, nonce, balance, pool, pendingNonce: await l2.getLedgerNonce({ account: address, blockTag: 'pending' }) }
}

async function expectUntouched(): Promise<void> {
  const head = await l2.getBlockNumber()
  await until('a new block', async () => ((await l2.getBlockNumber()) > head ? true : undefined))
  expect(await standing()).toEqual(before)
  expect((await fetch(`${rpc}/health`)).status).toBe(200)
}
