/** 0x…0a10 says of a receipt the first rule that it breaks, in the order of docs/spec/receipts.md. */
import { decodeFunctionResult, encodeFunctionData, type Hex, hexToBytes, keccak256, toHex, zeroAddress, zeroHash } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { expect, test } from 'vitest'
import type { JournaledLedger } from '../../execution/ledger/ledger.ts'
import { models, workers } from '../../execution/ledger/tables.ts'
import { RECEIPT_CODE, receiptVerifierAbi } from '../../execution/native/doorAbi.ts'
import {
  encodeReceipt,
  encodeRequest,
  type InferenceReceipt,
  type InferenceRequest,
  receiptId,
  requestHash,
} from '../../execution/receipt.ts'
import { OPEN_WEI, VERIFIER } from '../../genesis/params.ts'
import { receiptVerifier } from '../../precompiles/0a10-receipt.ts'
import { callIn, createEmptyLedger, PARAMS } from './frame.ts'

const client = privateKeyToAccount(keccak256(toHex('client')))
const hotKey = privateKeyToAccount(keccak256(toHex('hot key')))
const stranger = privateKeyToAccount(keccak256(toHex('stranger')))
const WORKER: Hex = '0x00000000000000000000000000000000000f00d1'
const MODEL_ID = keccak256(toHex('model'))

// The types as a wallet is given them, written out from the spec.
const members = (signature: string) =>
  signature.split(',').map((member) => {
    const [type = '', name = ''] = member.split(' ')
    return { type, name }
  })
const TYPES = {
  InferenceRequest: members(
    'address client,address worker,bytes32 modelId,bytes32 promptCommit,bytes32 paramsHash,uint64 seed,uint32 maxOutputTokens,uint96 maxFee,uint96 cumulativeMaxFee,uint64 nonce,uint64 deadline',
  ),
  InferenceReceipt: members(
    'bytes32 requestHash,bytes32 modelId,address worker,uint64 seq,bytes32 outputCommit,bytes32 tokensRoot,bytes32 traceRoot,bytes32 attributionHash,bytes32 attestationId,uint32 promptTokens,uint32 outputTokens,uint96 fee,uint64 finishedAt,uint8 tier',
  ),
}
const DOMAIN = { name: 'Tributary', version: '1', chainId: PARAMS.chainId, verifyingContract: VERIFIER.receipt }

const REQUEST: InferenceRequest = {
  client: client.address.toLowerCase() as Hex,
  worker: WORKER,
  modelId: MODEL_ID,
  promptCommit: keccak256(toHex('prompt')),
  paramsHash: keccak256(toHex('params')),
  seed: 1n,
  maxOutputTokens: 200,
  maxFee: 1_000n,
  cumulativeMaxFee: 5_000n,
  nonce: 1n,
  deadline: 2_000n,
}
const RECEIPT: Omit<InferenceReceipt, 'requestHash'> = {
  modelId: MODEL_ID,
  worker: WORKER,
  seq: 8n,
  outputCommit: keccak256(toHex('output')),
  tokensRoot: keccak256(toHex('tokens')),
  traceRoot: keccak256(toHex('trace')),
  attributionHash: keccak256(toHex('attribution')),
  attestationId: zeroHash,
  promptTokens: 10,
  outputTokens: 100,
  fee: 100n + 10n * 2n + 100n * 3n,
  finishedAt: 1_000n,
  tier: 1,
}

/** A case: what the parties say, what the chain holds, and who signs. */
type Case = {
  readonly request: InferenceRequest
  readonly receipt: InferenceReceipt
  readonly hasModel: boolean
  readonly minStakeWei: bigint
  readonly maxTier: number
  readonly stakeWei: bigint
  readonly lastSeq: bigint
  readonly requestSigner: typeof client
  readonly receiptSigner: typeof client
  readonly requestSigBytes: number
}

const GOOD: Case = {
  request: REQUEST,
  receipt: { ...RECEIPT, requestHash: requestHash(REQUEST) },
  hasModel: true,
  minStakeWei: 20n * OPEN_WEI,
  maxTier: 2,
  stakeWei: 20n * OPEN_WEI,
  lastSeq: 7n,
  requestSigner: client,
  receiptSigner: hotKey,
  requestSigBytes: 65,
}

function ledgerOf({ hasModel, minStakeWei, maxTier, stakeWei, lastSeq }: Case): JournaledLedger {
  const ledger = createEmptyLedger()
  const hashes = {
    baseHash: zeroHash,
    adapterHash: zeroHash,
    tokenizerHash: zeroHash,
    trainingConfigHash: zeroHash,
    runtimeProfileHash: zeroHash,
  }
  const prices = { priceBase: 100n, pricePrompt: 2n, priceOutput: 3n, ownerBps: 5_000, workerBps: 5_000, contributorBps: 0 }
  const model = { ...hashes, ...prices, index: 1, owner: WORKER, useFlags: 0, minStake: minStakeWei, maxTier, name: 'm', datanets: [] }
  if (hasModel) models.put(ledger, { modelId: MODEL_ID }, model)
  const bond = { stake: stakeWei, unbonding: 0n, unlockAt: 0n, liableUntil: 0n }
  const worker = { index: 1, hotKey: hotKey.address.toLowerCase() as Hex, credits: 0, runtimeProfileHash: zeroHash, endpoint: 'https://w' }
  workers.put(ledger, { worker: WORKER }, { ...worker, ...bond, lastSeq })
  return ledger
}

async function evidenceOf({
  request,
  receipt,
  requestSigner,
  receiptSigner,
  requestSigBytes,
}: Case): Promise<readonly [Hex, Hex, Hex, Hex]> {
  const requestSig = await requestSigner.signTypedData({ domain: DOMAIN, types: TYPES, primaryType: 'InferenceRequest', message: request })
  const receiptSig = await receiptSigner.signTypedData({ domain: DOMAIN, types: TYPES, primaryType: 'InferenceReceipt', message: receipt })
  const cut: Hex = `0x${requestSig.slice(2).slice(0, 2 * requestSigBytes)}`
  return [toHex(encodeRequest(request)), cut, toHex(encodeReceipt(receipt)), receiptSig]
}

function verify(ledger: JournaledLedger, args: readonly [Hex, Hex, Hex, Hex], chainId = PARAMS.chainId) {
  const data = hexToBytes(encodeFunctionData({ abi: receiptVerifierAbi, functionName: 'verify', args }))
  const { result } = callIn(ledger, receiptVerifier, data, { isStatic: true, params: { ...PARAMS, chainId } })
  if (result.kind !== 'return') throw new Error(`the verifier answered ${result.kind}`)
  const [code, id, worker, feeWei] = decodeFunctionResult({ abi: receiptVerifierAbi, functionName: 'verify', data: toHex(result.output) })
  return { code, receiptId: id, worker: worker.toLowerCase(), feeWei, gasUsed: result.gasUsed }
}

async function codeOf(one: Case): Promise<number> {
  return verify(ledgerOf(one), await evidenceOf(one)).code
}

const withRequest = (part: Partial<InferenceRequest>) => (one: Case) => ({ ...one, request: { ...one.request, ...part } })
const withReceipt = (part: Partial<InferenceReceipt>) => (one: Case) => ({ ...one, receipt: { ...one.receipt, ...part } })

/**
 * One way to break each rule, in the order of precedence; each leaves the rules before it whole, even together with all after it. What
 * changes the request changes its hash, which `bind` puts into the receipt again.
 */
const BREAKS: readonly (readonly [keyof typeof RECEIPT_CODE, (one: Case) => Case])[] = [
  ['malformed', (one) => ({ ...one, requestSigBytes: 64 })],
  ['requestMismatch', withReceipt({ requestHash: keccak256(toHex('another')) })],
  ['modelMismatch', withReceipt({ modelId: keccak256(toHex('other model')) })],
  ['unknownModel', (one) => ({ ...one, hasModel: false })],
  ['expired', withReceipt({ finishedAt: 2_001n })],
  ['wrongWorker', withRequest({ worker: '0x00000000000000000000000000000000000f00d2' })],
  ['workerNotActive', (one) => ({ ...one, stakeWei: PARAMS.workerStakeMinWei - 1n })],
  ['insufficientStake', (one) => ({ ...one, minStakeWei: 20n * OPEN_WEI + 1n })],
  ['tooManyTokens', withRequest({ maxOutputTokens: 99 })],
  ['feeMismatch', withReceipt({ fee: RECEIPT.fee + 1n })],
  ['feeAboveMax', withRequest({ maxFee: RECEIPT.fee - 1n })],
  ['replayed', (one) => ({ ...one, lastSeq: 8n })],
  ['tierUnsupported', withReceipt({ tier: 2 })],
  ['badRequestSig', (one) => ({ ...one, requestSigner: stranger })],
  ['badReceiptSig', (one) => ({ ...one, receiptSigner: stranger })],
]

/** Applies the breaks; the receipt names the request as it then is, unless that is what is broken. */
function broken(breaks: typeof BREAKS): Case {
  const one = breaks.reduce((sum, [, change]) => change(sum), GOOD)
  const isBound = !breaks.some(([name]) => name === 'requestMismatch')
  return isBound ? withReceipt({ requestHash: requestHash(one.request) })(one) : one
}

test('the breaks stand in the order of the codes', () => expect([...BREAKS.map(([name]) => name), 'ok']).toEqual(Object.keys(RECEIPT_CODE)))

test('a good receipt is OK, and the answer names it', async () => {
  const answer = verify(ledgerOf(GOOD), await evidenceOf(GOOD))
  expect(answer).toEqual({ code: 0, receiptId: receiptId(GOOD.receipt), worker: WORKER, feeWei: RECEIPT.fee, gasUsed: answer.gasUsed })
})

for (const [i, [name]] of BREAKS.entries()) {
  test(`${name}: breaking that rule answers ${RECEIPT_CODE[name]}`, async () => {
    expect(await codeOf(broken(BREAKS.slice(i, i + 1)))).toBe(RECEIPT_CODE[name])
  })
  test(`${name} comes before every later rule`, async () => {
    expect(await codeOf(broken(BREAKS.slice(i)))).toBe(RECEIPT_CODE[name])
  })
}

test('a wrong length of any part is malformed, and then nothing is claimed', async () => {
  const [request, requestSig, receipt, receiptSig] = await evidenceOf(GOOD)
  const longer = (hex: Hex): Hex => `${hex}00`
  const shorter = (hex: Hex): Hex => `0x${hex.slice(2, -2)}`
  const answers = [longer, shorter, (): Hex => '0x'].flatMap((bend) => [
    verify(ledgerOf(GOOD), [bend(request), requestSig, receipt, receiptSig]),
    verify(ledgerOf(GOOD), [request, bend(requestSig), receipt, receiptSig]),
    verify(ledgerOf(GOOD), [request, requestSig, bend(receipt), receiptSig]),
    verify(ledgerOf(GOOD), [request, requestSig, receipt, bend(receiptSig)]),
  ])
  for (const answer of answers) expect(answer).toMatchObject({ code: 255, receiptId: zeroHash, worker: zeroAddress, feeWei: 0n })
})

test('a tier that does not exist is malformed', async () => expect(await codeOf(withReceipt({ tier: 4 })(GOOD))).toBe(255))

test('a request that names no worker may be served by any', async () => {
  expect(await codeOf(broken([['wrongWorker', withRequest({ worker: zeroAddress })]]))).toBe(0)
})

test('a worker that is not there is not active', async () => {
  const elsewhere: Hex = '0x00000000000000000000000000000000000f00d3'
  const one = withReceipt({ worker: elsewhere })(broken([['wrongWorker', withRequest({ worker: elsewhere })]]))
  expect(await codeOf(one)).toBe(RECEIPT_CODE.workerNotActive)
})

test('a tier above the model’s is unsupported, even one that exists', async () => {
  expect(await codeOf({ ...GOOD, maxTier: 0 })).toBe(RECEIPT_CODE.tierUnsupported)
})

test('signatures are bound to the chain, have s in the lower half and v 0, 1, 27 or 28', async () => {
  const [request, requestSig, receipt, receiptSig] = await evidenceOf(GOOD)
  expect(verify(ledgerOf(GOOD), [request, requestSig, receipt, receiptSig], PARAMS.chainId + 1).code).toBe(RECEIPT_CODE.badRequestSig)
  const withV = (sig: Hex, v: number): Hex => `0x${sig.slice(2, -2)}${v.toString(16).padStart(2, '0')}`
  const v = Number.parseInt(requestSig.slice(-2), 16)
  expect(verify(ledgerOf(GOOD), [request, withV(requestSig, v - 27), receipt, receiptSig]).code).toBe(0)
  expect(verify(ledgerOf(GOOD), [request, withV(requestSig, v + 2), receipt, receiptSig]).code).toBe(RECEIPT_CODE.badRequestSig)
  const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
  const highS = toHex(order - BigInt(`0x${receiptSig.slice(66, 130)}`), { size: 32 }).slice(2)
  const flipped: Hex = `0x${receiptSig.slice(2, 66)}${highS}${receiptSig.endsWith('1b') ? '1c' : '1b'}`
  expect(verify(ledgerOf(GOOD), [request, requestSig, receipt, flipped]).code).toBe(RECEIPT_CODE.badReceiptSig)
})

test('gas is 9,000, two records, and that of a view', async () => {
  const { gasUsed } = verify(ledgerOf(GOOD), await evidenceOf(GOOD))
  // 4 selector, 4 offsets, and 4 lengths before 6, 3, 9 and 3 words: 933 bytes are 30 words in, and 4 come out.
  expect(gasUsed).toBe(9_000n + 2n * 2_100n + 300n + 30n * 30n + 60n * 4n)
})
