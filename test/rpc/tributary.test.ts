/** The tributary_ methods: records of the ledger, proofs that hold against the header's root, status, fees, typed transactions. */
import fc from 'fast-check'
import { type Hex, keccak256, numberToHex, pad, toHex } from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { verifyLedgerProof } from '../../execution/ledger/proof.ts'
import { claim } from '../../execution/native/claim.ts'
import { datanetUpload } from '../../execution/native/datanetUpload.ts'
import { NATIVE_TYPES, nativeGas } from '../../execution/native/native.ts'
import { DOOR, OPEN_WEI } from '../../genesis/params.ts'
import { fieldsFromJson, fieldsToJson } from '../../rpc/quantity.ts'
import { nativeTypedData } from '../../rpc/viemChain.ts'
import { signer, signTransfer } from '../fakes/chain.ts'
import { addressOf, signNative } from '../fakes/testChain.ts'
import { type Served, serve } from './serve.ts'

let served: Served
const q = numberToHex
const poems = {
  datanetId: 1,
  owner: addressOf(signer(0)),
  curator: addressOf(signer(1)),
  licence: 3,
  joinPolicy: 0,
  status: 1,
  uploadBond: '0x7',
  uploads: 2,
  accepted: 0,
  records: '0x0',
  retires: 0,
  schemaHash: pad('0x5c', { size: 32 }),
  name: 'poems',
}
const upload = (contentRoot: Hex) => ({
  datanetId: 1,
  contentRoot,
  contentId: '0x1234' as Hex,
  recordCount: 9,
  byteCount: 900n,
  contributors: [{ account: addressOf(signer(6)), shareBps: 10_000, role: 1 }],
})

beforeAll(async () => {
  served = await serve({ limits: { records: 2 } })
  const { chain } = served
  const { chainId } = chain.params
  const raws = [1n, 2n].map((nonce) =>
    signNative(signer(2), { type: datanetUpload, fields: upload(pad(q(nonce), { size: 32 })), nonce: nonce - 1n, chainId }),
  )
  await chain.seal(await Promise.all(raws))
})
afterAll(() => served.server.close())

test('records by id; null for one that is not there, and at a block before it was', async () => {
  const { call } = served
  expect(await call('tributary_getDatanet', 1)).toEqual(poems)
  expect(await call('tributary_getDatanet', '0x1', 'latest')).toEqual(poems)
  expect(await call('tributary_getDatanet', 1, '0x3')).toEqual({ ...poems, uploads: 0 })
  expect(await call('tributary_getDatanet', 1, '0x2')).toBeNull()
  expect(await call('tributary_getDatanet', 2)).toBeNull()
  const first = await call('tributary_getUpload', 1, 0)
  expect(first).toMatchObject({
    datanetId: 1,
    uploadIndex: 0,
    uploader: addressOf(signer(2)),
    recordCount: 9,
    byteCount: q(900),
    bond: '0x7',
    status: 1,
  })
  expect(first).toMatchObject({ contentId: '0x1234', contributors: [{ account: expect.any(Number), shareBps: 10_000, role: 1 }] })
  expect(await call('tributary_getUpload', 1, 2)).toBeNull()
  expect(await call('tributary_getReview', 1, 0)).toBeNull()
  expect(await call('tributary_getModel', pad('0x1', { size: 32 }))).toBeNull()
  expect(await call('tributary_getWorker', addressOf(signer(0)))).toBeNull()
  expect(await call('tributary_getCredit', addressOf(signer(0)), 0)).toBeNull()
  expect(await call('tributary_getWithdrawal', '0x1')).toBeNull()
  expect(await call('tributary_getRecord', 'datanets', { datanetId: 1 })).toEqual(poems)
  expect(await call('tributary_getRecord', 'supply')).toMatchObject({ item: 1, withdrawn: '0x0' })
})

test('lists from a number on, as many as are wanted and allowed', async () => {
  const { call } = served
  expect(await call('tributary_getDatanets')).toEqual([poems])
  expect(await call('tributary_getDatanets', 0, 1)).toEqual([poems])
  expect(await call('tributary_getDatanets', 2)).toEqual([])
  expect(await call('tributary_getDatanets', 1, 0)).toEqual([])
  const uploads = (await call('tributary_getUploads', 1)) as { uploadIndex: number }[]
  expect(uploads.map(({ uploadIndex }) => uploadIndex)).toEqual([0, 1])
  expect(await call('tributary_getUploads', 1, 1)).toEqual([uploads[1]])
  expect(await call('tributary_getUploads', 1, 0, 1)).toEqual([uploads[0]])
  expect(await call('tributary_getUploads', 9)).toEqual([])
  expect(await call('tributary_getCredits', addressOf(signer(0)))).toEqual([])
})

test('accounts, nonces, earnings and draws', async () => {
  const { call, chain } = served
  const account = addressOf(signer(2))
  const json = (await call('tributary_getLedgerAccount', account)) as Record<string, Hex>
  expect(json).toMatchObject({ account, index: expect.any(Number), prepaid: '0x0', unlockAt: '0x0', nonce: '0x2' })
  expect(BigInt(json.balance ?? 0)).toBeLessThan(1_000_000n * OPEN_WEI)
  const stranger = `0x${'aa'.repeat(20)}`
  expect(await call('tributary_getLedgerAccount', stranger)).toEqual({
    account: stranger,
    index: 0,
    balance: '0x0',
    prepaid: '0x0',
    unlockAt: '0x0',
    nonce: '0x0',
  })
  expect(await call('tributary_getLedgerNonce', account)).toBe('0x2')
  await call('eth_sendRawTransaction', toHex(await signTransfer(chain, 2, 2n, 5n)))
  expect(await call('tributary_getLedgerNonce', account, 'pending')).toBe('0x3')
  expect(await call('tributary_getLedgerNonce', account, 'latest')).toBe('0x2')
  const { epochSec, vestingSec } = chain.params
  expect(await call('tributary_getEarnings', account, [4, '0x5'])).toEqual([
    { epoch: 4, amount: '0x0', claimableAtSec: 5 * epochSec + vestingSec },
    { epoch: 5, amount: '0x0', claimableAtSec: 6 * epochSec + vestingSec },
  ])
  expect(await call('tributary_getDraw', account, stranger)).toEqual({ client: account, worker: stranger, drawn: '0x0' })
})

type ProofJson = {
  readonly key: Hex
  readonly record: Hex | null
  readonly other: { key: Hex; valueHash: Hex } | null
  readonly siblings: readonly Hex[]
  readonly ledgerRoot: Hex
}

test('a proof shows a record, or that there is none, against the root in the state', async () => {
  const { call } = served
  const holds = (json: unknown) => {
    const { ledgerRoot, key, record, other, siblings } = json as ProofJson
    return verifyLedgerProof(ledgerRoot, { key, record: record ?? undefined, other: other ?? undefined, siblings })
  }
  const present = await call('tributary_getLedgerProof', 'datanets', { datanetId: 1 })
  const { datanetId: _datanetId, ...value } = poems
  expect(present).toMatchObject({ table: 'datanets', tableNumber: 2, id: '0x00000001', blockNumber: '0x4', value, other: null })
  expect(holds(present)).toBe(true)
  const absent = await call('tributary_getLedgerProof', 'datanets', { datanetId: 7 }, 'latest')
  expect(absent).toMatchObject({ record: null, value: null })
  expect(holds(absent)).toBe(true)
  expect(holds({ ...(present as ProofJson), record: `${(present as ProofJson).record}00` })).toBe(false)
  const before = (await call('tributary_getLedgerProof', 'datanets', { datanetId: 1 }, '0x3')) as ProofJson
  expect(holds(before)).toBe(true)
  const root = (present as ProofJson).ledgerRoot
  expect(before.ledgerRoot).not.toBe(root)
  expect(await call('eth_getStorageAt', DOOR.ledger, '0x0')).toBe(root)
  expect(holds(await call('tributary_getLedgerProof', 'l1'))).toBe(true)
})

test('supply, counters, L1 info, parameters and status', async () => {
  const { call, chain } = served
  expect(await call('tributary_getCounters')).toMatchObject({ datanets: 1, models: 0, workers: 0, withdrawals: '0x0', credits: '0x0' })
  const supply = (await call('tributary_getSupply', '0x0')) as Record<string, Hex>
  expect(supply).toEqual({ deposited: q(16_000_000n * OPEN_WEI), withdrawn: '0x0', evmSupply: q(8_000_000n * OPEN_WEI) })
  expect(await call('tributary_getL1Info')).toMatchObject({ number: '0xb', hash: `0x${'b3'.repeat(32)}`, depositCursor: '0x2' })
  const { chainId, blockGasLimit, epochSec } = chain.params
  expect(await call('tributary_params')).toMatchObject({
    chainId,
    blockGasLimit: q(blockGasLimit),
    epochSec,
    genesisHash: chain.genesisHash,
  })
  expect(await call('tributary_syncStatus')).toEqual({
    heads: { latest: '0x4', safe: '0x2', finalized: '0x1' },
    highestBlock: '0x4',
    l1Head: { number: '0x14', hash: `0x${'d1'.repeat(32)}` },
    l1Url: null,
    l1Origin: { number: '0xb', hash: `0x${'b3'.repeat(32)}` },
    batches: { posted: 1, postedBytes: 1_000, nextBlock: '0x3' },
    checkpoints: 1,
    validators: 1,
    peers: 0,
  })
})

test('tributary_estimateFee: from bytes, or from fields before anything is signed', async () => {
  const { call, fail, chain } = served
  const fields = { epochs: [1, 2, 3] }
  const gas = nativeGas({ type: claim, fields })
  const base = BigInt((await call('eth_baseFee')) as Hex)
  const expected = { gas: q(gas), baseFeePerGas: q(base), l1Fee: '0x0', fee: q(gas * base), maxFee: q(2n * gas * base) }
  expect(await call('tributary_estimateFee', { type: 'Claim', fields })).toEqual(expected)
  expect(await call('tributary_estimateFee', { type: '0x58', fields })).toEqual(expected)
  const raw = await signNative(signer(0), { type: claim, fields, nonce: 9n, chainId: chain.params.chainId })
  expect(await call('tributary_estimateFee', toHex(raw))).toEqual(expected)
  expect(await fail('tributary_estimateFee', { type: 'Claim', fields: { epochs: [2, 1] } })).toMatchObject({
    code: -32000,
    data: { code: 'badEpochs' },
  })
})

test('tributary_sendTypedTransaction: takes what a wallet signed, and only that', async () => {
  const { call, fail, chain } = served
  const native = { kind: 0, to: addressOf(signer(7)), amount: 5n }
  const unsigned = { nativeType: 'Transfer', chainId: chain.params.chainId, nonce: 0n, maxFee: OPEN_WEI, native }
  const signature = await signer(3).signTypedData(nativeTypedData(unsigned))
  const transaction = { type: 'Transfer', nonce: '0x0', maxFee: q(OPEN_WEI), fields: { ...native, amount: '5' }, signature }
  const hash = (await call('tributary_sendTypedTransaction', transaction)) as Hex
  expect(await call('eth_getTransactionByHash', hash)).toMatchObject({
    from: addressOf(signer(3)),
    type: '0x50',
    native: { amount: '0x5' },
  })
  expect(keccak256((await call('eth_getRawTransactionByHash', hash)) as Hex)).toBe(hash)
  expect(await fail('tributary_sendTypedTransaction', transaction)).toMatchObject({ code: -32000, message: 'already known' })
  expect(await fail('tributary_sendTypedTransaction', { ...transaction, signature: `0x${'00'.repeat(64)}1b` })).toMatchObject({
    message: 'invalid sender',
  })
  await chain.seal()
  expect(await call('eth_getTransactionReceipt', hash)).toMatchObject({ status: '0x1' })
})

test('fields survive JSON, for every native type', () => {
  const uint = (bits: number) => fc.bigInt({ min: 0n, max: 2n ** BigInt(bits) - 1n }).map((n) => (bits <= 48 ? Number(n) : n))
  const hex = (bytes: number) => fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((value) => toHex(value))
  type Parameter = (typeof NATIVE_TYPES)[number]['fields']['parameters'][number]
  const arbitraryOf = (parameter: Parameter): fc.Arbitrary<unknown> => {
    const { type } = parameter
    if (type.endsWith('[]')) return fc.array(arbitraryOf({ ...parameter, type: type.slice(0, -2) }), { maxLength: 3 })
    if (type === 'tuple') return valuesOf('components' in parameter ? parameter.components : [])
    if (type === 'string') return fc.string()
    if (type === 'bytes') return fc.uint8Array({ maxLength: 9 }).map((value) => toHex(value))
    if (type === 'address') return hex(20)
    return type.startsWith('uint') ? uint(Number(type.slice(4))) : hex(Number(type.slice(5)))
  }
  const valuesOf = (parameters: readonly Parameter[]) =>
    fc.record(Object.fromEntries(parameters.map((parameter) => [parameter.name ?? '', arbitraryOf(parameter)])))
  for (const { fields } of NATIVE_TYPES) {
    fc.assert(
      fc.property(valuesOf(fields.parameters), (value) => {
        const json = JSON.parse(JSON.stringify(fieldsToJson(fields.parameters, value)))
        expect(fieldsFromJson(fields.parameters, json, '')).toEqual(value)
      }),
      { numRuns: 30 },
    )
  }
})
