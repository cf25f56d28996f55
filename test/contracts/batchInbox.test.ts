import { encodeErrorResult, type Hex, hexToBytes, keccak256, numberToHex, type RpcTransactionRequest, zeroHash } from 'viem'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { batchInboxAbi } from '../../settlement/abi.ts'
import { BLOB_PAYLOAD_BYTES } from '../../settlement/blob.ts'
import { ANY_COUNT, type BatchHeader, batchAccumulator, callDataHash, encodePostBatch, type Posting } from '../../settlement/inbox.ts'
import { type Anvil, startAnvil } from '../fakes/anvil.ts'
import { callerAbi, deployCaller, deployStage, type L1Stage, mined, refusal, STAGE_GENESIS, STAGE_LEDGER_ROOT } from '../fakes/l1Stage.ts'

const GENESIS_HASH = keccak256(STAGE_GENESIS)
const RING_SIZE = 8_192n

/** Where `batchCount` is stored. */
const COUNT_SLOT = numberToHex(1, { size: 32 })

let anvil: Anvil
let l1: L1Stage
beforeAll(async () => {
  anvil = await startAnvil()
})
afterAll(() => anvil?.stop())
beforeEach(async () => {
  l1 = await deployStage(anvil)
})

const inbox = () => ({ address: l1.deployment.inbox, abi: batchInboxAbi }) as const
const batchAt = (index: bigint) => l1.user.readContract({ ...inbox(), functionName: 'batchAt', args: [index] })
const head = () => l1.user.readContract({ ...inbox(), functionName: 'head' })

/** The refusal of a batch that comes in a transaction with so many blobs. */
type Tried = {
  readonly header?: Partial<BatchHeader>
  readonly payload?: Hex
  readonly blobs?: number
  readonly posting?: Partial<Posting>
}

async function refusalOf({ header = {}, payload = '0xabcd', blobs = 0, posting = {} }: Tried) {
  const made = await l1.nextHeader(header)
  const data = encodePostBatch(made, await l1.postingOf(made, { payload: hexToBytes(payload), ...posting }))
  const blobVersionedHashes = Array.from({ length: blobs }, (_, i) => `0x01${(i + 1).toString(16).padStart(62, '0')}`)
  const call = {
    from: l1.poster.account.address,
    to: l1.deployment.inbox,
    data,
    ...(blobs > 0 && { blobVersionedHashes, maxFeePerBlobGas: '0x10' }),
  } as RpcTransactionRequest
  return refusal(l1.poster.request({ method: 'eth_call', params: [call, 'latest'] }))
}

test('the genesis file is published once, by the owner, and starts the hash chain', async () => {
  const publish = (genesis: Hex, as = l1.owner) =>
    as.writeContract({ ...inbox(), functionName: 'publishGenesis', args: [genesis, STAGE_LEDGER_ROOT] })
  expect(await refusal(publish(STAGE_GENESIS, l1.poster))).toEqual(['NotOwner'])
  expect(await refusal(publish('0x'))).toEqual(['GenesisEmpty'])
  expect(await head()).toEqual([zeroHash, 0n, 0n])
  const { logs } = await mined(l1.owner, await publish(STAGE_GENESIS))
  const [event] = await l1.owner.getContractEvents({ ...inbox(), eventName: 'GenesisPublished', blockHash: logs[0]?.blockHash ?? '0x' })
  expect(event?.args).toEqual({ hash: GENESIS_HASH, genesis: STAGE_GENESIS })
  expect(await head()).toEqual([GENESIS_HASH, 0n, 0n])
  expect(await l1.user.readContract({ ...inbox(), functionName: 'genesisLedgerRoot' })).toBe(STAGE_LEDGER_ROOT)
  expect(await refusal(publish('0x01'))).toEqual(['GenesisAlreadyPublished', GENESIS_HASH])
})

test('no batch comes before the genesis file', async () => {
  expect(await refusalOf({})).toEqual(['GenesisMissing'])
})

test('batches chain: accumulators are what TypeScript computes from the headers and the data', async () => {
  await l1.publishGenesis()
  let accumulator: Hex = GENESIS_HASH
  for (const [i, payload] of (['0x01', '0x0203', `0x${'04'.repeat(5_000)}`] as const).entries()) {
    const index = BigInt(i)
    const header = await l1.postBatch(payload)
    expect(header.prevAccumulator).toBe(accumulator)
    const dataHash = callDataHash(hexToBytes(payload))
    accumulator = batchAccumulator({ index, header, dataHash })
    expect(await head()).toEqual([accumulator, index + 1n, header.lastBlock])
    expect(await batchAt(index)).toEqual([accumulator, header.lastBlock])
    const [event] = await l1.user.getContractEvents({ ...inbox(), eventName: 'BatchPosted' })
    expect(event?.args).toEqual({ index, accumulator, header, dataHash })
  }
})

test('anyone posts whose batch ends with a block that a quorum made final, and nobody else', async () => {
  await l1.publishGenesis()
  const header = await l1.nextHeader()
  const { certificate } = await l1.postingOf(header)
  expect(await refusalOf({ posting: { certificate: { ...certificate, round: 1 } } })).toEqual(['BadSignature'])
  expect(await refusalOf({ posting: { certificate: { ...certificate, bitmap: '0x03' } } })).toEqual(['WeightTooLow', 2n, 4n])
  expect(await refusalOf({ header: { lastBlockHash: GENESIS_HASH }, posting: { certificate } })).toEqual(['BadSignature'])
  expect(await refusalOf({ header: { lastBlock: 2n }, posting: { certificate } })).toEqual(['BadSignature'])
  const data = encodePostBatch(header, await l1.postingOf(header, { payload: hexToBytes('0xabcd') }))
  await mined(l1.user, await l1.user.sendTransaction({ to: l1.deployment.inbox, data }))
  expect((await head()).slice(1)).toEqual([1n, 1n])
})

test('of two that race one is refused, unless it stands whatever comes before; a batch may follow any that is remembered', async () => {
  await l1.publishGenesis()
  await l1.postBatch('0x01')
  const [first] = await batchAt(0n)
  const rival = await l1.nextHeader({ prevAccumulator: GENESIS_HASH, firstBlock: 1n, lastBlock: 1n })
  expect(await refusalOf({ posting: { count: 0n } })).toEqual(['Outrun', 1n])
  expect(await refusalOf({ posting: { count: 1n } })).toBeUndefined()
  const data = encodePostBatch(rival, await l1.postingOf(rival, { next: 0n, count: ANY_COUNT, payload: hexToBytes('0xabcd') }))
  await mined(l1.user, await l1.user.sendTransaction({ to: l1.deployment.inbox, data }))
  const [second] = await batchAt(1n)
  expect(second).toBe(batchAccumulator({ index: 1n, header: rival, dataHash: callDataHash(hexToBytes('0xabcd')) }))
  for (const [prevAccumulator, next] of [
    [first, 1n],
    [second, 2n],
  ] as const) {
    expect(await refusalOf({ header: { prevAccumulator, firstBlock: 2n, lastBlock: 2n }, posting: { next } })).toBeUndefined()
  }
})

test('a batch is a plain call: neither a contract nor delegated code posts one', async () => {
  await l1.publishGenesis()
  const caller = await deployCaller(l1.user)
  const header = await l1.nextHeader()
  const data = encodePostBatch(header, await l1.postingOf(header, { payload: hexToBytes('0xabcd') }))
  const postAs = (from: Hex) =>
    refusal(l1.user.request({ method: 'eth_call', params: [{ from, to: l1.deployment.inbox, data }, 'latest'] }))
  expect(await postAs(l1.poster.account.address)).toBeUndefined()
  // The sender of the transaction, but with code, like an account that has delegated its own (EIP-7702).
  expect(await postAs(caller)).toEqual(['PosterNotPlain'])
  const throughCaller = l1.user.simulateContract({
    abi: callerAbi,
    address: caller,
    functionName: 'call',
    args: [l1.deployment.inbox, data],
  })
  expect(await refusal(throughCaller)).toEqual(['CallFailed', encodeErrorResult({ abi: batchInboxAbi, errorName: 'PosterNotPlain' })])
})

test('the header has to follow what is there', async () => {
  await l1.publishGenesis()
  await l1.postBatch('0x01')
  const [accumulator] = await head()
  expect(await refusalOf({ header: { prevAccumulator: GENESIS_HASH } })).toEqual(['WrongAccumulator', accumulator])
  expect(await refusalOf({ posting: { next: 0n } })).toEqual(['WrongAccumulator', GENESIS_HASH])
  expect(await refusalOf({ posting: { next: 2n } })).toEqual(['BatchNotPosted', 1n])
  expect(await refusalOf({ header: { firstBlock: 1n } })).toEqual(['WrongFirstBlock', 2n])
  expect(await refusalOf({ header: { firstBlock: 3n, lastBlock: 3n } })).toEqual(['WrongFirstBlock', 2n])
  expect(await refusalOf({ header: { lastBlock: 1n } })).toEqual(['NoBlocks'])
})

test('the L1 origin has to be canonical: BLOCKHASH knows the last 256 blocks, the history contract older ones', async () => {
  await l1.publishGenesis()
  const old = await l1.user.getBlock({ blockNumber: (await l1.user.getBlockNumber()) - 1n })
  const oldOrigin = { l1OriginNumber: old.number, l1OriginHash: old.hash }
  expect(await refusalOf({ header: oldOrigin })).toBeUndefined()
  await l1.user.mine({ blocks: 300 })
  expect(await refusalOf({ header: oldOrigin })).toBeUndefined()
  const canonical = old.hash
  expect(await refusalOf({ header: { ...oldOrigin, l1OriginHash: GENESIS_HASH } })).toEqual(['OriginNotCanonical', old.number, canonical])
  const coming = (await l1.user.getBlockNumber()) + 10n
  expect(await refusalOf({ header: { l1OriginNumber: coming, l1OriginHash: zeroHash } })).toEqual(['OriginNotCanonical', coming, zeroHash])
})

test('a payload is in call data or in blobs, whole, and in no more blobs than it needs', async () => {
  await l1.publishGenesis()
  expect(await refusalOf({ payload: '0x' })).toEqual(['PayloadMissing'])
  expect(await refusalOf({ payload: '0xabcd', header: { payloadBytes: 3 } })).toEqual(['PayloadBytesWrong'])
  const callData = (payloadBytes: number) => refusalOf({ payload: `0x${'01'.repeat(payloadBytes)}`, header: { payloadBytes } })
  expect(await callData(131_072)).toBeUndefined()
  expect(await callData(131_073)).toEqual(['PayloadBytesWrong'])
  expect(await refusalOf({ payload: '0xabcd', blobs: 1 })).toEqual(['PayloadBesideBlobs'])
  const blobs = (count: number, payloadBytes: number) => refusalOf({ payload: '0x', blobs: count, header: { payloadBytes } })
  expect(await blobs(1, 0)).toEqual(['PayloadBytesWrong'])
  expect(await blobs(1, 1)).toBeUndefined()
  expect(await blobs(1, BLOB_PAYLOAD_BYTES)).toBeUndefined()
  expect(await blobs(1, BLOB_PAYLOAD_BYTES + 1)).toEqual(['PayloadBytesWrong'])
  expect(await blobs(2, BLOB_PAYLOAD_BYTES)).toEqual(['PayloadBytesWrong'])
  expect(await blobs(6, 6 * BLOB_PAYLOAD_BYTES)).toBeUndefined()
  expect(await blobs(7, 7 * BLOB_PAYLOAD_BYTES)).toEqual(['TooManyBlobs'])
})

test('the ring keeps the latest 8,192 batches', async () => {
  await l1.publishGenesis()
  await l1.postBatch('0x01')
  await l1.postBatch('0x02')
  expect(await refusal(batchAt(2n))).toEqual(['BatchNotPosted', 2n])
  const second = await batchAt(1n)
  const [, , lastBlock] = await head()
  await l1.owner.setStorageAt({
    address: l1.deployment.inbox,
    index: COUNT_SLOT,
    value: numberToHex(RING_SIZE, { size: 32 }),
  })
  const first = await batchAt(0n)
  // It follows batch 1, since the ring holds nothing between that and the next place.
  const header = await l1.nextHeader({ prevAccumulator: second[0], firstBlock: lastBlock + 1n, lastBlock: lastBlock + 1n })
  const data = encodePostBatch(header, await l1.postingOf(header, { next: 2n, payload: hexToBytes('0x0303') }))
  await mined(l1.poster, await l1.poster.sendTransaction({ to: l1.deployment.inbox, data }))
  const [accumulator] = await head()
  expect(await batchAt(RING_SIZE)).toEqual([accumulator, header.lastBlock])
  expect(first).not.toEqual(await batchAt(RING_SIZE))
  expect(await refusalOf({ posting: { next: 1n } })).toEqual(['BatchForgotten', 0n])
  expect(await refusal(batchAt(0n))).toEqual(['BatchForgotten', 0n])
  expect(await batchAt(1n)).toEqual(second)
})
