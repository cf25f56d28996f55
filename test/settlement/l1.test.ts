import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { concatHex, type Hex, hexToBytes, keccak256, zeroHash } from 'viem'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { openBlobArchive } from '../../node/blobArchive.ts'
import { checkpointManagerAbi, portalAbi } from '../../settlement/abi.ts'
import { BLOB_BYTES, BLOB_PAYLOAD_BYTES, encodeBlobs } from '../../settlement/blob.ts'
import { checkpointHash } from '../../settlement/checkpoint.ts'
import { encodePostBatch } from '../../settlement/inbox.ts'
import { createKzg, createSidecar, type Kzg, type Sidecar } from '../../settlement/kzg.ts'
import { createL1, findGenesis, type L1, type L1Options, type PostedPayload } from '../../settlement/l1.ts'
import { L1Error, type L1ErrorKind } from '../../settlement/l1Error.ts'
import { RETRY_AFTER_MAX_MS, retryAfterMs } from '../../settlement/l1Http.ts'
import { type L1Ref, standingCheckpoints } from '../../settlement/l1Logs.ts'
import { signTx } from '../../settlement/l1Tx.ts'
import { bond, createSettledChain, submit } from '../contracts/settledChain.ts'
import { ANVIL_CHAIN_ID, type Anvil, startAnvil, unusedAddress } from '../fakes/anvil.ts'
import { addressOf, deployStage, type L1Stage, mined, STAGE_GENESIS } from '../fakes/l1Stage.ts'
import { rpcError, startRpcProxy } from '../fakes/rpcProxy.ts'

const RECIPIENT: Hex = '0x00000000000000000000000000000000000000aa'
const PAYLOAD = Uint8Array.from({ length: BLOB_PAYLOAD_BYTES + 5_000 }, (_, i) => (i * 7) & 0xff)

let kzg: Kzg
let sidecar: Sidecar
let anvil: Anvil
let l1: L1Stage
beforeAll(async () => {
  kzg = createKzg()
  sidecar = await createSidecar(kzg, encodeBlobs(PAYLOAD))
  anvil = await startAnvil()
})
afterAll(() => anvil?.stop())
beforeEach(async () => {
  l1 = await deployStage(anvil)
})

function connect(changes: Partial<L1Options> = {}): L1 {
  return createL1({
    rpcUrl: l1.url,
    beaconUrls: [l1.url],
    chainId: ANVIL_CHAIN_ID,
    addresses: l1.deployment,
    kzg,
    timeoutMs: 60_000,
    retries: 2,
    retryDelayMs: 10,
    ...changes,
  })
}

/** The kind of error that a question fails with; undefined if it does not. */
async function kindOf(question: Promise<unknown>): Promise<L1ErrorKind | undefined> {
  try {
    await question
    return undefined
  } catch (error) {
    if (error instanceof L1Error) return error.kind
    throw error
  }
}

const head = (): Promise<L1Ref> => connect().blockByTag('latest')

async function deposit(gas = 21_000n): Promise<void> {
  const args = [RECIPIENT, 0n, gas, '0x'] as const
  await mined(l1.user, await l1.user.writeContract({ address: l1.deployment.portal, abi: portalAbi, functionName: 'depositToEvm', args }))
}

/** Posts `PAYLOAD` in two blobs. */
async function postBlobs(): Promise<void> {
  const { raw, hash } = await signedBlobs(sidecar)
  expect(await l1.poster.sendRawTransaction({ serializedTransaction: raw })).toBe(hash)
  await mined(l1.poster, hash)
}

async function signedBlobs(sidecar: Sidecar) {
  const header = await l1.nextHeader({ payloadBytes: PAYLOAD.length })
  const data = encodePostBatch(header, await l1.postingOf(header))
  const { address } = l1.poster.account
  const nonce = BigInt(await l1.poster.getTransactionCount({ address }))
  const fees = { maxFeeWei: 10n ** 10n, tipWei: 1n, maxBlobFeeWei: 10n ** 9n }
  const tx = { chainId: ANVIL_CHAIN_ID, nonce, to: l1.deployment.inbox, data, gas: 1_000_000n, fees, sidecar }
  return signTx(l1.poster.account, tx)
}

/** A reorganisation of the last blocks; their transactions are gone. */
async function reorg(depth: number): Promise<void> {
  await l1.user.request({ method: 'anvil_reorg', params: [depth, []] } as never)
}

test('blocks: by number, by tag, undefined above the head', async () => {
  const raw = await l1.user.getBlock()
  const block = await connect().blockByNumber(raw.number)
  expect(block).toEqual({
    number: raw.number,
    hash: raw.hash,
    parentHash: raw.parentHash,
    timestampSec: raw.timestamp,
    baseFeeWei: raw.baseFeePerGas,
    blobBaseFeeWei: 1n,
    prevRandao: raw.mixHash,
  })
  expect(await connect().blockByTag('latest')).toEqual(block)
  expect((await connect().blockByTag('finalized')).number).toBeLessThan(raw.number)
  expect(await connect().blockByNumber(raw.number + 1n)).toBeUndefined()
  expect(await connect().canonicalBlock({ number: raw.number, hash: raw.hash })).toEqual(block)
})

test('a wrong network or address is found out before anything is built on it', async () => {
  expect(await kindOf(connect().check())).toBeUndefined()
  expect(await kindOf(connect({ chainId: 1 }).check())).toBe('stop')
  expect(await kindOf(connect({ addresses: { ...l1.deployment, portal: unusedAddress(1) } }).check())).toBe('stop')
})

test('deposits: of a range, in log order, with the source hash of their place', async () => {
  await deposit()
  const between = await head()
  await deposit()
  await deposit(50_000n)
  const to = await head()
  const all = await connect().deposits(0n, to)
  expect(all.map(({ index, deposit }) => [index, deposit.gas])).toEqual([
    [0n, 21_000n],
    [1n, 21_000n],
    [2n, 50_000n],
  ])
  expect(new Set(all.map(({ deposit }) => deposit.sourceHash)).size).toBe(3)
  expect(await connect().deposits(between.number + 1n, to)).toEqual(all.slice(1))
  expect(await connect().deposits(0n, between)).toEqual(all.slice(0, 1))
  expect(await connect().deposits(to.number + 1n, to)).toEqual([])
  expect(await connect().depositCount()).toBe(3n)
})

test('a batch in call data comes back', async () => {
  await l1.publishGenesis()
  expect(await connect().inboxState()).toEqual({ accumulator: keccak256(STAGE_GENESIS), batchCount: 0n, lastBlock: 0n })
  const header = await l1.postBatch('0x010203')
  const [batch, ...others] = await connect().batches(0n, await head())
  if (!batch) throw new Error('the batch is missing')
  expect(others).toEqual([])
  expect(batch).toMatchObject({ index: 0n, header, l1Block: { number: (await head()).number } })
  expect(await connect().batchPayload(batch)).toEqual({ ok: true, payload: hexToBytes('0x010203') })
  expect(await connect().inboxState()).toEqual({ accumulator: batch.accumulator, batchCount: 1n, lastBlock: 1n })
})

test('a batch in blobs comes back, from the first source that has the right blobs', async () => {
  await l1.publishGenesis()
  await postBlobs()
  const [batch] = await connect().batches(0n, await head())
  if (!batch) throw new Error('the batch is missing')
  const blobs = (...list: Uint8Array[]) => ({ status: 200, body: { data: list.map((blob) => `0x${Buffer.from(blob).toString('hex')}`) } })
  const [first = new Uint8Array(), second = new Uint8Array()] = sidecar.blobs
  const lacking = await startRpcProxy(l1.url, { onGet: (path) => (path.includes('/blobs/') ? blobs(second) : undefined) })
  // A beacon node with slots of 2 s that does not mind the filter nor the order.
  const genesisSec = (await l1.user.getBlock({ blockNumber: batch.l1Block.number })).timestamp - 9n
  const slotted = await startRpcProxy(l1.url, {
    onGet: (path) => {
      if (path.includes('/spec')) return { status: 200, body: { data: { SECONDS_PER_SLOT: '2' } } }
      if (path.includes('/genesis')) return { status: 200, body: { data: { genesis_time: `${genesisSec}` } } }
      return path.includes('/blobs/4?') ? blobs(second, first) : { status: 404, body: {} }
    },
  })
  try {
    const isPayload = (carried: PostedPayload) => carried.ok && Buffer.compare(carried.payload, PAYLOAD) === 0
    expect(isPayload(await connect().batchPayload(batch))).toBe(true)
    expect(isPayload(await connect({ beaconUrls: [lacking.url, slotted.url] }).batchPayload(batch))).toBe(true)
    const query = `versioned_hashes=${sidecar.versionedHashes.join(',')}`
    expect(lacking.paths.at(-1)).toBe(`/eth/v1/beacon/blobs/${batch.l1Block.hash}?${query}`)
    expect(slotted.paths.at(-1)).toBe(`/eth/v1/beacon/blobs/4?${query}`)
    expect(await kindOf(connect({ beaconUrls: [lacking.url], retries: 0 }).batchPayload(batch))).toBe('retry')
    expect(await kindOf(connect({ beaconUrls: [] }).batchPayload(batch))).toBe('retry')
  } finally {
    await lacking.stop()
    await slotted.stop()
  }
})

test('the cell proofs are right: a pool takes them, and not with one exchanged', async () => {
  await l1.publishGenesis()
  const [first = new Uint8Array(), second = new Uint8Array(), ...rest] = sidecar.proofs
  const exchanged = await signedBlobs({ ...sidecar, proofs: [second, first, ...rest] })
  const { transactions } = connect()
  expect(await transactions.send(exchanged.raw)).toMatchObject({ ok: false, code: 'rejected' })
  expect(await transactions.send((await signedBlobs(sidecar)).raw)).toEqual({ ok: true })
})

test('what blocks hold comes at once, of a range and of a single block by its hash, and of no other block', async () => {
  await l1.publishGenesis()
  await deposit()
  const first = await head()
  await l1.postBatch('0x01')
  const to = await head()
  const [deposits, batches] = [await connect().deposits(0n, to), await connect().batches(0n, to)]
  expect([deposits.length, batches.length]).toEqual([1, 1])
  expect(await connect().events(0n, to)).toEqual({ deposits, batches, checkpoints: [] })
  expect(await connect().events(first.number, first)).toEqual({ deposits, batches: [], checkpoints: [] })
  expect(await connect().events(to.number, to)).toEqual({ deposits: [], batches, checkpoints: [] })
  const proxy = await startRpcProxy(l1.url, {
    onRpc: (request) => {
      if (request.method !== 'eth_getLogs') return undefined
      return { status: 200, body: { jsonrpc: '2.0', id: request.id, result: logs } }
    },
  })
  const logs = await l1.user.request({ method: 'eth_getLogs', params: [{ address: l1.deployment.portal, blockHash: first.hash }] })
  try {
    expect(await kindOf(connect({ rpcUrl: proxy.url }).events(to.number, to))).toBe('retry')
  } finally {
    await proxy.stop()
  }
})

test('a block whose header says that it has no log of ours is not asked for logs, and any other is', async () => {
  await l1.publishGenesis()
  const asked: string[] = []
  let spoil = (block: Record<string, unknown>): unknown => block
  const proxy = await startRpcProxy(l1.url, {
    async onRpc({ id, method, params }) {
      asked.push(method)
      if (method !== 'eth_getBlockByNumber') return undefined
      const block = await l1.user.request({ method, params } as never)
      return { status: 200, body: { jsonrpc: '2.0', id, result: spoil(block) } }
    },
  })
  /** Events of the latest block, as they come from a node whose blocks were read before; and how often it was asked for logs. */
  const latest = async () => {
    asked.length = 0
    const connected = connect({ rpcUrl: proxy.url })
    const to = await connected.blockByTag('latest')
    const { deposits, batches } = await connected.events(to.number, to)
    return [deposits.length, batches.length, asked.filter((method) => method === 'eth_getLogs').length]
  }
  try {
    await deposit()
    expect(await latest()).toEqual([1, 0, 1])
    await l1.postBatch('0x01')
    expect(await latest()).toEqual([0, 1, 1])
    await l1.user.request({ method: 'evm_mine' } as never)
    expect(await latest()).toEqual([0, 0, 0])
    // A bloom that the block's hash does not speak for is none.
    await deposit()
    spoil = (block) => ({ ...block, logsBloom: `0x${'00'.repeat(256)}` })
    expect(await latest()).toEqual([1, 0, 1])
  } finally {
    await proxy.stop()
  }
})

test('what a reorganisation took away is answered with reset', async () => {
  await l1.publishGenesis()
  await deposit()
  await l1.postBatch('0x01')
  const to = await head()
  const [batch] = await connect().batches(0n, to)
  if (!batch) throw new Error('the batch is missing')
  await reorg(3)
  expect((await head()).number).toBe(to.number)
  expect((await head()).hash).not.toBe(to.hash)
  expect(await kindOf(connect().canonicalBlock(to))).toBe('reset')
  expect(await kindOf(connect().deposits(0n, to))).toBe('reset')
  expect(await kindOf(connect().batches(0n, to))).toBe('reset')
  expect(await kindOf(connect().batchPayload(batch))).toBe('reset')
  expect(await connect().deposits(0n, await head())).toEqual([])
  // Above the head of a chain that has become shorter.
  await l1.user.request({ method: 'anvil_rollback', params: [2] } as never)
  expect(await kindOf(connect().deposits(0n, to))).toBe('reset')
})

test('a reorganisation while the logs are read is noticed', async () => {
  await deposit()
  const to = await head()
  let reorganised: Promise<void> | undefined
  const proxy = await startRpcProxy(l1.url, {
    onRpc: (request) => {
      if (request.method === 'eth_getLogs') reorganised = reorg(1)
      return undefined
    },
  })
  try {
    expect(await kindOf(connect({ rpcUrl: proxy.url }).deposits(0n, to))).toBe('reset')
    await reorganised
  } finally {
    await proxy.stop()
  }
})

test('checkpoints come back, and so does that they fell', async () => {
  await l1.publishGenesis()
  await bond(l1, l1.submitter)
  const rollup = await createSettledChain(l1)
  const settled = await rollup.settle()
  const fromNumber = (await head()).number
  await mined(l1.submitter, await submit(l1, settled))
  const first = await head()
  const args = [0n, l1.user.account.address] as const
  const call = { address: l1.deployment.checkpointManager, abi: checkpointManagerAbi, functionName: 'invalidate', args } as const
  expect(await connect().standingHash(0n)).toBe(checkpointHash(settled.checkpoint))
  expect(await connect().standingHash(1n)).toBeUndefined()
  const txHash = await l1.owner.writeContract(call)
  await mined(l1.owner, txHash)
  expect(await connect().standingHash(0n)).toBeUndefined()
  const second = await head()
  const submitter = addressOf(l1.submitter)
  const refOf = ({ number, hash }: { number: bigint; hash: Hex }) => ({ number, hash })
  const found = await connect().checkpoints(fromNumber, refOf(second))
  expect(found).toEqual([
    { kind: 'submitted', id: 0n, checkpoint: settled.checkpoint, submitter, l1Block: refOf(first) },
    { kind: 'fallen', id: 0n, lastBlock: 0n, l1Block: refOf(second), txHash },
  ])
  expect(standingCheckpoints(found)).toEqual([])
})

test('the genesis file is found by the address of its inbox, and without it only if it is the only one', async () => {
  const fromNumber = (await head()).number
  const endpoint = { rpcUrl: l1.url, retries: 0 }
  const { inbox } = l1.deployment
  expect(await kindOf(findGenesis(endpoint, { inbox, fromNumber }))).toBe('retry')
  await l1.publishGenesis()
  const l1Block = await head().then(({ number, hash }) => ({ number, hash }))
  const published = { genesis: hexToBytes(STAGE_GENESIS), hash: keccak256(STAGE_GENESIS), inbox, l1Block }
  expect(await findGenesis(endpoint, { fromNumber })).toEqual(published)
  expect(await findGenesis(endpoint, { inbox })).toEqual(published)
  await (await deployStage(anvil)).publishGenesis()
  await expect(findGenesis(endpoint, { fromNumber })).rejects.toThrow(inbox)
  expect(await kindOf(findGenesis(endpoint, { fromNumber }))).toBe('stop')
  expect(await findGenesis(endpoint, { inbox, fromNumber })).toEqual(published)
})

test('logs are asked for in ranges, and in halves of them where a node finds that too much', async () => {
  await deposit()
  await l1.user.mine({ blocks: 20 })
  await deposit()
  const to = await head()
  const rangesOf = (requests: readonly { method: string; params: readonly unknown[] }[]) =>
    requests
      .filter(({ method }) => method === 'eth_getLogs')
      .map(({ params: [filter] }) => {
        const { fromBlock, toBlock } = filter as { fromBlock: Hex; toBlock: Hex }
        return Number(toBlock) - Number(fromBlock) + 1
      })
  const proxy = await startRpcProxy(l1.url, {
    onRpc: (request) =>
      request.method === 'eth_getLogs' && rangesOf([request]).some((blocks) => blocks > 15)
        ? rpcError(request, -32_602, 'too many results')
        : undefined,
  })
  try {
    const from = to.number - 23n
    const found = await connect({ rpcUrl: proxy.url, logRangeBlocks: 20 }).deposits(from, to)
    expect(found).toEqual(await connect().deposits(from, to))
    expect(found.map(({ index }) => index)).toEqual([0n, 1n])
    expect(rangesOf(proxy.requests)).toEqual([20, 10, 10, 4])
  } finally {
    await proxy.stop()
  }
})

test('what may pass is asked again, a limited number of times, and what can not pass is not', async () => {
  let failures = 2
  let answer: (request: { id: unknown; method: string; params: readonly unknown[] }) => { status: number; body: unknown } = () => ({
    status: 429,
    body: {},
  })
  const proxy = await startRpcProxy(l1.url, { onRpc: (request) => (failures-- > 0 ? answer(request) : undefined) })
  try {
    const through = connect({ rpcUrl: proxy.url })
    expect((await through.blockByTag('latest')).number).toBe((await head()).number)
    failures = 3
    expect(await kindOf(through.blockByTag('latest'))).toBe('retry')
    answer = (request) => rpcError(request, -32_005, 'limit exceeded')
    failures = 2
    expect(await kindOf(through.blockByTag('latest'))).toBeUndefined()
    answer = (request) => rpcError(request, -32_601, 'method not found')
    failures = 1
    expect(await kindOf(through.blockByTag('latest'))).toBe('stop')
    expect(failures).toBe(0)
  } finally {
    await proxy.stop()
  }
  expect(await kindOf(connect({ rpcUrl: proxy.url }).blockByTag('latest'))).toBe('retry')
})

test('an endpoint that limits the rate is left alone for as long as it says, by all that is asked, and within a bound', async () => {
  const [perRequestMs, asked] = [300, { answered: 0, tooEarly: 0, refused: 0 }]
  // Answers a request now and then; who comes before it said is counted.
  let fromMs = 0
  let mayComeMs = 0
  const limited = () => {
    const nowMs = Date.now()
    if (nowMs >= fromMs) {
      fromMs = nowMs + perRequestMs
      asked.answered++
      return undefined
    }
    if (nowMs < mayComeMs) asked.tooEarly++
    asked.refused++
    mayComeMs = nowMs + 1_000
    return { status: 429, body: { error: 'too many requests' }, headers: { 'retry-after': '1' } }
  }
  const proxy = await startRpcProxy(l1.url, { onRpc: limited })
  try {
    const through = connect({ rpcUrl: proxy.url, retries: 8 })
    const number = (await head()).number
    for (let i = 0; i < 3; i++) expect((await through.blockByTag('latest')).number).toBe(number)
    expect(asked.refused).toBeGreaterThan(0)
    expect(asked.tooEarly).toBe(0)
  } finally {
    await proxy.stop()
  }
  const nowMs = Date.parse('Mon, 23 Nov 2026 12:00:00 GMT')
  const said = ['0', '7', '100000', 'Mon, 23 Nov 2026 12:00:05 GMT', 'Mon, 23 Nov 2026 11:00:00 GMT', 'soon', null]
  expect(said.map((value) => retryAfterMs(value, nowMs))).toEqual([0, 7_000, RETRY_AFTER_MAX_MS, 5_000, 0, undefined, undefined])
})

test('a beacon API that limits the rate is passed over until its time, and others are asked', async () => {
  await l1.publishGenesis()
  await postBlobs()
  const tip = await head()
  const [batch] = await connect().batches(0n, tip)
  if (!batch) throw new Error('a batch was posted')
  let refused = 0
  const limited = await startRpcProxy(l1.url, {
    onGet() {
      refused++
      return { status: 429, body: {}, headers: { 'retry-after': '60' } }
    },
  })
  try {
    const through = connect({ beaconUrls: [limited.url, l1.url] })
    expect(await through.batchPayload(batch)).toEqual({ ok: true, payload: PAYLOAD })
    expect(await through.batchPayload(batch)).toEqual({ ok: true, payload: PAYLOAD })
    expect(refused).toBe(1)
  } finally {
    await limited.stop()
  }
})

test('a node that leaves a log out is not believed', async () => {
  await deposit()
  await deposit()
  const to = await head()
  const proxy = await startRpcProxy(l1.url, {
    onRpc: (request) => {
      if (request.method !== 'eth_getLogs') return undefined
      return { status: 200, body: { jsonrpc: '2.0', id: request.id, result: logs.slice(1) } }
    },
  })
  const filter = { address: l1.deployment.portal, fromBlock: '0x0', toBlock: 'latest' } as const
  const logs = await l1.user.request({ method: 'eth_getLogs', params: [filter] })
  try {
    expect(await kindOf(connect({ rpcUrl: proxy.url }).deposits(0n, to))).toBe('retry')
  } finally {
    await proxy.stop()
  }
})

test('a batch whose call data is not in its transaction is not taken for one', async () => {
  await l1.publishGenesis()
  await l1.postBatch('0x01')
  const [batch] = await connect().batches(0n, await head())
  if (!batch) throw new Error('the batch is missing')
  expect(await kindOf(connect().batchPayload({ ...batch, dataHash: zeroHash }))).toBe('retry')
})

test('a batch is invalid whose call data is in another form, or whose blobs carry nothing: that is for derivation, and no failure', async () => {
  await l1.publishGenesis()
  const header = await l1.nextHeader({ payloadBytes: 2 })
  const data = encodePostBatch(header, await l1.postingOf(header, { payload: hexToBytes('0x0102') }))
  // The contract reads past what stands behind the arguments; nobody else has to.
  await mined(l1.poster, await l1.poster.sendTransaction({ to: l1.deployment.inbox, data: concatHex([data, '0x00']) }))
  const hollow = await createSidecar(kzg, [encodeBlobs(PAYLOAD)[0] ?? new Uint8Array(), new Uint8Array(BLOB_BYTES).fill(1)])
  const { raw, hash } = await signedBlobs(hollow)
  await l1.poster.sendRawTransaction({ serializedTransaction: raw })
  await mined(l1.poster, hash)
  const [otherForm, noPayload] = await connect().batches(0n, await head())
  if (!otherForm || !noPayload) throw new Error('a batch is missing')
  expect(await connect().batchPayload(otherForm)).toEqual({ ok: false, code: 'badCall' })
  expect(await connect().batchPayload(noPayload)).toEqual({ ok: false, code: 'badBlobs', reason: 'badElement' })
})

test('the archive is asked first, and is given what had to be fetched', async () => {
  await l1.publishGenesis()
  await postBlobs()
  const [batch] = await connect().batches(0n, await head())
  if (!batch) throw new Error('the batch is missing')
  const folder = mkdtempSync(join(tmpdir(), 'tributary-blobs-'))
  try {
    const first = await connect({ archive: openBlobArchive(folder) }).batchPayload(batch)
    expect(first.ok && Buffer.compare(first.payload, PAYLOAD)).toBe(0)
    // No source but the archive, and another process that opens it.
    expect(await connect({ archive: openBlobArchive(folder), beaconUrls: [] }).batchPayload(batch)).toEqual(first)
    // A damaged file is none, and a smaller archive keeps the latest.
    const [name] = readdirSync(folder)
    const path = join(folder, name ?? '')
    writeFileSync(path, Buffer.concat([readFileSync(path).subarray(0, -1), Buffer.from('x')]))
    expect(await kindOf(connect({ archive: openBlobArchive(folder), beaconUrls: [] }).batchPayload(batch))).toBe('retry')
    await openBlobArchive(folder, { blobsMax: 1 }).keep(sidecar.versionedHashes, sidecar.blobs)
    expect(readdirSync(folder)).toEqual([sidecar.versionedHashes[1]])
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
