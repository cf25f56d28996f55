/**
 * What gas of our precompiles is held against: of each the dearest input that is honest, and the dearest that is hostile, which is one that fails at its
 * very end, has the most parts for its bytes, or pays for next to nothing. A call runs on a ledger in memory, in a frame of its own, as the EVM has it.
 */
import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import {
  type Abi,
  bytesToHex,
  concatHex,
  encodeFunctionData,
  type Hex,
  hexToBytes,
  keccak256,
  pad,
  stringToBytes,
  stringToHex,
  toHex,
  zeroHash,
} from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { encodeAttribution, POA } from '../../execution/attribution/attributionRecord.ts'
import {
  contentRootOf,
  hashWordLeaf,
  packWords,
  recordLeaf,
  snapshotRoot,
  snapshotRootOf,
  uploadLeaf,
  wordLeafCount,
} from '../../execution/attribution/commitment.ts'
import { encodeOpening, type RecordOpening } from '../../execution/attribution/opening.ts'
import { commitSuffixes, encodeLongestProof } from '../../execution/attribution/suffixProof.ts'
import { createWordIndex } from '../../execution/attribution/wordIndex.ts'
import type { JournaledLedger } from '../../execution/ledger/ledger.ts'
import { datanets, models, uploads, workers } from '../../execution/ledger/tables.ts'
import { runRoot } from '../../execution/merkle.ts'
import {
  attestationVerifierAbi,
  creditsDoorAbi,
  datanetsDoorAbi,
  gasPriceOracleAbi,
  inclusionVerifierAbi,
  ledgerDoorAbi,
  longestVerifierAbi,
  modelsDoorAbi,
  p384VerifierAbi,
  paramsDoorAbi,
  receiptVerifierAbi,
  sharesVerifierAbi,
  spanVerifierAbi,
  workersDoorAbi,
} from '../../execution/native/doorAbi.ts'
import { doorCallData } from '../../execution/native/native.ts'
import type { Precompile, PrecompileCall } from '../../execution/precompile.ts'
import { encodeReceipt, encodeRequest, receiptDigest, requestDigest, requestHash } from '../../execution/receipt.ts'
import { DOOR, GAS_PRICE_ORACLE, LIMIT, OPEN_WEI, VERIFIER } from '../../genesis/params.ts'
import { OPENSSL_CURVES } from '../../node/opensslCurves.ts'
import { createAttestationVerifier } from '../../precompiles/0a12-attestation.ts'
import { createPrecompiles } from '../../precompiles/precompiles.ts'
import { encodeCollateral } from '../../precompiles/tdxCollateral.ts'
import { callIn, createEmptyLedger, PARAMS } from '../precompiles/frame.ts'
import { evidenceOf, NOW_SEC } from '../precompiles/tdxChain.ts'
import { CLIENT, MODEL_ID, OWNER, STEPS, UPLOADER, WORKER, worldAfter } from '../precompiles/world.ts'
import samples from '../vectors/tdx.json' with { type: 'json' }
import { seeded } from './operations.ts'

/** What became of a call: its gas, and the first word of what it answers, or how it ended. */
export type Called = { readonly gas: bigint; readonly answer: bigint | 'reverted' | 'outOfGas' }

export type CallOnce = () => Called | Promise<Called>

export type PrecompileCase = {
  readonly name: string
  readonly address: Hex
  /** Calls that are measured in a round, together: clocks of CPU go in steps of up to 10 ms. */
  readonly calls: number
  /** What the call must answer to be what its name says; undefined: whatever it is. */
  readonly answer: Called['answer'] | undefined
  /** So many calls, each of which can be made once, and all that they need. */
  prepare(calls: number): readonly CallOnce[] | Promise<readonly CallOnce[]>
}

/** A question to a precompile of the node's table, or to another one in its place. */
type Question = {
  readonly data: Uint8Array | Hex
  readonly ledger?: JournaledLedger
  readonly precompile?: Precompile
  readonly overrides?: Partial<PrecompileCall>
}

const TABLE = new Map(createPrecompiles(OPENSSL_CURVES).map((precompile) => [precompile.address, precompile]))

/** What is asked the `i`-th time; without `i` in it, the same again and again. */
type Ask = (i: number) => Question

function caseOf(
  address: Hex,
  { name, calls, answer }: Pick<PrecompileCase, 'name' | 'calls' | 'answer'>,
  make: () => Question | Ask,
): PrecompileCase {
  return {
    ...{ name, address, calls, answer },
    prepare(count) {
      const made = make()
      return Array.from({ length: count }, (_, i) => callOf(address, typeof made === 'function' ? made(i) : made))
    },
  }
}

/** A call in a frame, which is then undone: the next one finds the ledger as this one did. */
function callOf(address: Hex, { data, ledger = createEmptyLedger(), precompile = TABLE.get(address), overrides = {} }: Question): CallOnce {
  if (!precompile) throw new Error(`there is no precompile at ${address}`)
  const bytes = typeof data === 'string' ? hexToBytes(data) : data
  return () => {
    ledger.checkpoint()
    const { result } = callIn(ledger, precompile, bytes, overrides)
    ledger.revert()
    // Who runs out of gas has paid all of it.
    if (result.kind === 'outOfGas') return { gas: overrides.gasLimit ?? 0n, answer: 'outOfGas' }
    return { gas: result.gasUsed, answer: result.kind === 'revert' ? 'reverted' : firstWord(result.output) }
  }
}

function firstWord(output: Uint8Array): bigint {
  return BigInt(bytesToHex(output.length < 32 ? new Uint8Array(32) : output.subarray(0, 32)))
}

function callData(abi: Abi, functionName: string, args: readonly unknown[] = []): Hex {
  return encodeFunctionData({ abi, functionName, args })
}

const someHash = (name: string): Hex => bytesToHex(seeded(name))
const someAddress = (name: string): Hex => bytesToHex(seeded(name).subarray(0, 20))

/** Call data whose last word is no value of its type: all before it is read for nothing. */
function brokenAtEnd(data: Hex): Uint8Array {
  const bytes = hexToBytes(data)
  bytes[bytes.length - 32] = 1
  return bytes
}

/** The step of the story by this name as a call of its door, on the ledger before it. */
function stepNamed(name: string): Question {
  const index = STEPS.findIndex((step) => step.name === name)
  const step = STEPS[index]
  if (!step) throw new Error(`there is no step ${name}`)
  const overrides = { caller: step.sender, valueWei: step.valueWei, timeSec: step.timeSec }
  return { data: doorCallData(step), ledger: worldAfter(index), overrides }
}

// ---- doors --------------------------------------------------------------------------------------------------------------------------

const NAME = 'n'.repeat(LIMIT.nameBytes)
const MANY = 4_000

/** The story's ledger with records as large as they can be beside its own. */
function largeRecords(): JournaledLedger {
  const ledger = worldAfter(STEPS.length)
  const [hash, account] = [someHash('large'), someAddress('large')]
  datanets.put(
    ledger,
    { datanetId: 2 },
    {
      ...{ owner: account, curator: account, licence: 1, joinPolicy: 0, status: 0, uploadBond: 1n, uploads: 1, accepted: 1, records: 1n },
      ...{ retires: 0, schemaHash: hash, name: NAME },
    },
  )
  putUpload(ledger, 2, 0)
  const prices = { priceBase: 1n, pricePrompt: 1n, priceOutput: 1n, ownerBps: 5_000, workerBps: 5_000, contributorBps: 0 }
  const manifest = { snapshotRoot: hash, uploadCount: 1 << 20, recordCount: 1 << 20, weightBps: 625, retires: 0 }
  models.put(
    ledger,
    { modelId: hash },
    {
      ...{ index: 9, owner: account, useFlags: 1, baseHash: hash, adapterHash: hash, tokenizerHash: hash, trainingConfigHash: hash },
      ...{ runtimeProfileHash: hash, ...prices, minStake: 1n, maxTier: 1, name: NAME },
      datanets: Array.from({ length: LIMIT.datanetsPerModel }, (_, i) => ({ datanetId: 2 + i, ...manifest })),
    },
  )
  const bond = { stake: 20n * OPEN_WEI, unbonding: 0n, unlockAt: 0n, liableUntil: 0n }
  const endpoint = 'e'.repeat(LIMIT.endpointBytes)
  workers.put(
    ledger,
    { worker: account },
    { index: 9, hotKey: account, ...bond, lastSeq: 0n, credits: 0, runtimeProfileHash: hash, endpoint },
  )
  return ledger
}

function putUpload(ledger: JournaledLedger, datanetId: number, uploadIndex: number): void {
  const contributors = Array.from({ length: LIMIT.contributors }, (_, i) => ({
    account: 100 + 4 * uploadIndex + i,
    shareBps: 2_500,
    role: 1,
  }))
  const content = { contentRoot: someHash('content'), contentId: bytesToHex(new Uint8Array(LIMIT.contentIdBytes).fill(1)), contributors }
  const numbers = { recordCount: 1 << 16, byteCount: 1n, bond: 0n, status: 1, qualityBps: 9_000, atSec: 1n }
  uploads.put(ledger, { datanetId, uploadIndex }, { uploader: someAddress('uploader'), ...content, ...numbers })
}

const contribution = { account: someAddress('contributor'), shareBps: 1, role: 1 }
const datanetUse = { datanetId: 1, snapshotRoot: zeroHash, uploadCount: 1, recordCount: 1, weightBps: 1 }
const MODEL_ARGS = [NAME, ...Array.from({ length: 5 }, (_, i) => someHash(`model ${i}`)), 1]
const MODEL_PRICES = [1n, 1n, 1n, 5_000, 5_000, 0, 0n, 0]
const CREDIT_ARGS = [WORKER, zeroHash, 1n, 1, zeroHash, zeroHash, 1n, 1n]

const DOOR_CASES: readonly PrecompileCase[] = [
  caseOf(DOOR.ledger, { name: '0a00 LEDGER, transfer to a new account', calls: 5_000, answer: undefined }, () => {
    const ledger = worldAfter(0)
    const overrides = { caller: OWNER, valueWei: 1n }
    return (i) => ({ data: callData(ledgerDoorAbi, 'transfer', [0, someAddress(`door ${i}`), 1n]), ledger, overrides })
  }),
  caseOf(DOOR.ledger, { name: '0a00 LEDGER, l1Info', calls: 5_000, answer: undefined }, () => ({
    data: callData(ledgerDoorAbi, 'l1Info'),
    ledger: largeRecords(),
  })),
  caseOf(DOOR.ledger, { name: '0a00 LEDGER, no call data', calls: 20_000, answer: 'reverted' }, () => ({ data: '0x' })),
  caseOf(DOOR.datanets, { name: '0a01 DATANETS, getUpload of 4 contributors', calls: 2_000, answer: 32n }, () => ({
    data: callData(datanetsDoorAbi, 'getUpload', [2, 0]),
    ledger: largeRecords(),
  })),
  caseOf(DOOR.datanets, { name: '0a01 DATANETS, upload', calls: 2_000, answer: undefined }, () => stepNamed('upload')),
  caseOf(DOOR.datanets, { name: `0a01 DATANETS, ${MANY} contributors, the last malformed`, calls: 20, answer: 'reverted' }, () => ({
    data: brokenAtEnd(callData(datanetsDoorAbi, 'upload', [1, zeroHash, '0x', 1, 1n, Array(MANY).fill(contribution)])),
  })),
  caseOf(DOOR.models, { name: '0a02 MODELS, getModel over 16 datanets', calls: 800, answer: 32n }, () => ({
    data: callData(modelsDoorAbi, 'getModel', [someHash('large')]),
    ledger: largeRecords(),
  })),
  caseOf(DOOR.models, { name: '0a02 MODELS, register', calls: 2_000, answer: BigInt(MODEL_ID) }, () => stepNamed('register a model')),
  caseOf(DOOR.models, { name: `0a02 MODELS, ${MANY} datanets, then no end`, calls: 15, answer: 'reverted' }, () => ({
    data: concatHex([callData(modelsDoorAbi, 'register', [...MODEL_ARGS, Array(MANY).fill(datanetUse), ...MODEL_PRICES]), '0x00']),
  })),
  caseOf(DOOR.workers, { name: '0a03 WORKERS, getWorker', calls: 3_000, answer: 32n }, () => ({
    data: callData(workersDoorAbi, 'getWorker', [someAddress('large')]),
    ledger: largeRecords(),
  })),
  caseOf(DOOR.workers, { name: '0a03 WORKERS, register', calls: 2_000, answer: undefined }, () => stepNamed('register a worker')),
  caseOf(DOOR.credits, { name: '0a04 CREDITS, getCredit', calls: 4_000, answer: undefined }, () => ({
    data: callData(creditsDoorAbi, 'getCredit', [WORKER, 0]),
    ledger: largeRecords(),
  })),
  caseOf(DOOR.credits, { name: '0a04 CREDITS, dispute that shows nothing', calls: 800, answer: undefined }, () => stepNamed('dispute')),
  caseOf(DOOR.credits, { name: `0a04 CREDITS, ${4 * MANY} amounts, the last malformed`, calls: 20, answer: 'reverted' }, () => ({
    data: brokenAtEnd(callData(creditsDoorAbi, 'credit', [...CREDIT_ARGS, [], [1], Array(4 * MANY).fill(1)])),
  })),
  caseOf(DOOR.params, { name: '0a05 PARAMS, getParam', calls: 10_000, answer: undefined }, () => ({
    data: callData(paramsDoorAbi, 'getParam', [pad(stringToHex('epochSec'), { dir: 'right', size: 32 })]),
  })),
  caseOf(DOOR.params, { name: '0a05 PARAMS, setParam by a stranger', calls: 8_000, answer: 'reverted' }, () => ({
    data: callData(paramsDoorAbi, 'setParam', [pad(stringToHex('epochSec'), { dir: 'right', size: 32 }), 1n]),
  })),
  caseOf(GAS_PRICE_ORACLE, { name: '420f oracle, getL1Fee of 64 KiB', calls: 150, answer: undefined }, () => ({
    data: callData(gasPriceOracleAbi, 'getL1Fee', [bytesToHex(new Uint8Array(65_536).fill(0xab))]),
    ledger: largeRecords(),
  })),
  caseOf(GAS_PRICE_ORACLE, { name: '420f oracle, decimals', calls: 20_000, answer: 6n }, () => ({
    data: callData(gasPriceOracleAbi, 'decimals'),
  })),
]

// ---- verifiers of receipts and signatures -------------------------------------------------------------------------------------------

const client = privateKeyToAccount(keccak256(toHex('client')))
const hotKey = privateKeyToAccount(keccak256(toHex('hot key')))

/** A good receipt and the ledger that makes it so. `stranger` signs in the hot key's place. */
async function receiptCalls(isGood: boolean, count: number): Promise<readonly CallOnce[]> {
  const ledger = worldAfter(STEPS.findIndex(({ name }) => name === 'credit'))
  const worker = workers.get(ledger, { worker: WORKER })
  const model = models.get(ledger, { modelId: MODEL_ID })
  if (!worker || !model) throw new Error('the story has no worker and no model')
  workers.put(ledger, { worker: WORKER }, { ...worker, hotKey: hotKey.address.toLowerCase() as Hex })
  const request = {
    ...{ client: CLIENT, worker: WORKER, modelId: MODEL_ID, promptCommit: zeroHash, paramsHash: zeroHash, seed: 1n, maxOutputTokens: 200 },
    ...{ maxFee: OPEN_WEI, cumulativeMaxFee: OPEN_WEI, nonce: 1n, deadline: 2_000n },
  }
  const fee = model.priceBase + 10n * model.pricePrompt + 100n * model.priceOutput
  const roots = { outputCommit: zeroHash, tokensRoot: zeroHash, traceRoot: zeroHash, attributionHash: zeroHash, attestationId: zeroHash }
  const receipt = {
    ...{ requestHash: requestHash(request), modelId: MODEL_ID, worker: WORKER, seq: 8n, ...roots, promptTokens: 10, outputTokens: 100 },
    ...{ fee, finishedAt: 1_000n, tier: 1 },
  }
  const requestSig = await client.sign({ hash: bytesToHex(requestDigest(request, PARAMS.chainId)) })
  const receiptSig = await (isGood ? hotKey : client).sign({ hash: bytesToHex(receiptDigest(receipt, PARAMS.chainId)) })
  const args = [bytesToHex(encodeRequest(request)), requestSig, bytesToHex(encodeReceipt(receipt)), receiptSig]
  const question = { data: callData(receiptVerifierAbi, 'verify', args), ledger }
  return Array.from({ length: count }, () => callOf(VERIFIER.receipt, question))
}

function inclusion(nodes: number): Question {
  const path = Array.from({ length: nodes }, (_, i) => someHash(`node ${i}`))
  return { data: callData(inclusionVerifierAbi, 'verifyInclusion', [zeroHash, 0, 0xffffffff, someHash('signed'), path]) }
}

const COLLATERAL_AT: Hex = '0xc0de100000000000000000000000000000000001'

function attestation(
  evidence: Uint8Array,
  { collateralCode, timeSec }: { collateralCode: Uint8Array; timeSec: bigint },
  precompile?: Precompile,
): Question {
  const codeOf = (address: Hex) => (address === COLLATERAL_AT ? collateralCode : new Uint8Array())
  return {
    data: callData(attestationVerifierAbi, 'attest', [1, bytesToHex(evidence), pad(COLLATERAL_AT)]),
    ...(precompile ? { precompile } : {}),
    overrides: { codeOf, timeSec },
  }
}

/** The first of Intel's real quotes, with the collateral of its time. */
function realQuote() {
  const [sample] = samples.cases
  if (!sample) throw new Error('there is no sample')
  const bytes = (name: 'quote' | 'rootCrl' | 'pckCrl' | 'tcbSigner' | 'tcbInfoSignature' | 'qeIdentitySignature') =>
    hexToBytes(sample[name] as Hex)
  const collateralCode = encodeCollateral({
    ...{ rootCrl: bytes('rootCrl'), pckCrl: bytes('pckCrl'), tcbSigner: bytes('tcbSigner') },
    ...{ tcbInfo: stringToBytes(sample.tcbInfo), tcbInfoSignature: bytes('tcbInfoSignature') },
    ...{ qeIdentity: stringToBytes(sample.qeIdentity), qeIdentitySignature: bytes('qeIdentitySignature') },
  })
  return { quote: bytes('quote'), collateralCode, timeSec: BigInt(Date.parse(JSON.parse(sample.tcbInfo).issueDate) / 1_000) + 86_400n }
}

/** Evidence of the most bytes, whose signature by the attestation key, the last of all, is wrong: the quote, and zeros behind it. */
function quoteWrongAtEnd(): Question {
  const { quote, ...collateral } = realQuote()
  const evidence = new Uint8Array(16_384)
  evidence.set(quote)
  evidence[568] = (evidence[568] ?? 0) ^ 1 // the report's last byte, which only that signature covers
  return attestation(evidence, collateral)
}

/** Collateral as long as code may be, nearly all of it a signed list of the revoked, none of them asked for. */
function longList(): Question {
  const revoked = Array.from({ length: 500 }, (_, i) => 0x90000 + i)
  const { quote, collateralCode, root } = evidenceOf({ pckCrl: { revoked } })
  // Signatures differ in length; the buffer that quotes come in does not.
  const evidence = new Uint8Array(8_000)
  evidence.set(quote)
  return attestation(evidence, { collateralCode, timeSec: NOW_SEC }, createAttestationVerifier(OPENSSL_CURVES, root))
}

function p384Args(message: Uint8Array): readonly Hex[] {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' })
  const signature = sign('sha384', message, { key: privateKey, dsaEncoding: 'ieee-p1363' })
  const { x = '', y = '' } = publicKey.export({ format: 'jwk' })
  return [signature.subarray(0, 48), signature.subarray(48), Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')].map((one) =>
    toHex(one),
  )
}

function p384Message(bytes: number): Question {
  const message = new Uint8Array(bytes).fill(0xab)
  return { data: callData(p384VerifierAbi, 'p384verifyMessage', [bytesToHex(message), ...p384Args(message)]) }
}

function p384Hash(): Question {
  const message = new Uint8Array(32)
  const hash = toHex(createHash('sha384').update(message).digest())
  return { data: callData(p384VerifierAbi, 'p384verify', [hash, ...p384Args(message)]) }
}

const VERIFIER_CASES: readonly PrecompileCase[] = [
  { name: '0a10 receipt, good', address: VERIFIER.receipt, calls: 500, answer: 0n, prepare: (count) => receiptCalls(true, count) },
  {
    name: '0a10 receipt, the second signature another’s',
    address: VERIFIER.receipt,
    calls: 500,
    answer: 2n,
    prepare: (count) => receiptCalls(false, count),
  },
  caseOf(VERIFIER.inclusion, { name: '0a11 inclusion, a leaf alone', calls: 15_000, answer: 0n }, () => inclusion(0)),
  caseOf(VERIFIER.inclusion, { name: '0a11 inclusion, 32 nodes', calls: 1_500, answer: 0n }, () => inclusion(32)),
  caseOf(VERIFIER.inclusion, { name: '0a11 inclusion, 2,000 nodes, too many', calls: 40, answer: 0n }, () => inclusion(2_000)),
  caseOf(VERIFIER.attestation, { name: '0a12 attestation, a real quote', calls: 40, answer: 0n }, () => {
    const { quote, ...collateral } = realQuote()
    return attestation(quote, collateral)
  }),
  caseOf(VERIFIER.attestation, { name: '0a12 attestation, 16 KiB, the last signature wrong', calls: 40, answer: 49n }, quoteWrongAtEnd),
  caseOf(VERIFIER.attestation, { name: '0a12 attestation, 500 revoked', calls: 40, answer: 0n }, longList),
  caseOf(VERIFIER.p384, { name: '0a16 P-384, of a hash', calls: 20, answer: 1n }, p384Hash),
  caseOf(VERIFIER.p384, { name: '0a16 P-384, of a message', calls: 100, answer: 1n }, () => p384Message(32)),
  caseOf(VERIFIER.p384, { name: '0a16 P-384, of a message of 64 KiB', calls: 60, answer: 1n }, () => p384Message(65_536)),
]

// ---- verifiers of attributions ------------------------------------------------------------------------------------------------------

const PATH = Array.from({ length: 32 }, (_, i) => someHash(`sibling ${i}`))

/**
 * An opening of these leaves in a record of so many words, with the longest paths to the record and to its upload, and the root that it leads to:
 * made from the leaves upward, as a snapshot of four billion uploads is more than one can have.
 */
function openingOf(leaves: readonly Uint8Array[], words: number): { readonly root: Hex; readonly opening: Hex } {
  const path = PATH.map((one) => hexToBytes(one))
  const top = (leaf: Uint8Array) => runRoot({ leaves: [leaf], first: 0, width: 0xffffffff, path })
  const shown = runRoot({ leaves: leaves.map(hashWordLeaf), first: 0, width: wordLeafCount(words), path: [] })
  const head = { record: 0, contributor: UPLOADER, words, contentHash: zeroHash }
  const content = shown && top(recordLeaf(head, shown))
  const upload = { uploadIndex: 0, recordCount: 0xffffffff, qualityBps: 9_000, contentRoot: content ? bytesToHex(content) : zeroHash }
  const root = top(uploadLeaf(upload))
  if (!root) throw new Error('an opening leads nowhere')
  const opening: RecordOpening = {
    upload: { ...upload, uploads: 0xffffffff, position: 0, path: PATH },
    record: { ...head, path: PATH },
    run: { firstLeaf: 0, leaves: leaves.map((leaf) => bytesToHex(leaf)), path: [] },
  }
  return { root: snapshotRootOf(0xffffffff, root), opening: bytesToHex(encodeOpening(opening)) }
}

const shortWords = (count: number): string[] => Array.from({ length: count }, (_, i) => ((i * 7_919) % 36).toString(36))

function span(words: number, isWanted: boolean): Question {
  const all = shortWords(words)
  const leaves = Array.from({ length: wordLeafCount(words) }, (_, i) => packWords(all.slice(32 * i, 32 * i + 32)))
  const { root, opening } = openingOf(leaves, words)
  return { data: callData(spanVerifierAbi, 'verifySpan', [root, opening, 0, isWanted ? bytesToHex(packWords(all)) : '0x']) }
}

/** Leaves of one byte, which are no words: many hashes for few bytes. */
function tinyLeaves(count: number, words: number): Question {
  const leaves = Array.from({ length: count }, (_, i) => Uint8Array.of(i & 0xff))
  const { root, opening } = openingOf(
    count === wordLeafCount(words) ? leaves : leaves.slice(0, 1),
    count === wordLeafCount(words) ? words : 1,
  )
  if (count === wordLeafCount(words)) return { data: callData(spanVerifierAbi, 'verifySpan', [root, opening, 0, '0x']) }
  const run = { firstLeaf: 0, leaves: leaves.map((leaf) => bytesToHex(leaf)), path: [] }
  const head = { record: 0, contributor: UPLOADER, words, contentHash: zeroHash, path: [] }
  const upload = { uploads: 1, position: 0, uploadIndex: 0, recordCount: 1, qualityBps: 1, contentRoot: zeroHash, path: [] }
  const bytes = encodeOpening({ upload, record: head, run })
  return { data: callData(spanVerifierAbi, 'verifySpan', [root, bytesToHex(bytes), 0, '0x']) }
}

/** A query of nearly a whole record, beside another record: both neighbours are opened for as many words as there are. */
function longest(words: number): Question {
  const texts = [shortWords(words), shortWords(words).map((word, i) => (i === words - 2 ? 'zz' : word))]
  const records = texts.map((text) => stringToBytes(text.join(' ')))
  const contentRoot = contentRootOf(records, UPLOADER)
  const snapshot = [{ uploadIndex: 0, recordCount: 2, qualityBps: 9_000, contentRoot, contributor: UPLOADER, records }]
  const places = records.map((bytes, record) => ({ datanet: 0, uploadIndex: 0, record, bytes }))
  const suffixes = commitSuffixes(createWordIndex(records), places, snapshot)
  const query = shortWords(words).map((word, i) => (i === words - 2 ? 'zy' : word))
  const proof = bytesToHex(encodeLongestProof(suffixes.prove(query)))
  const args = [suffixes.suffixRoot, snapshotRoot(snapshot), proof, bytesToHex(packWords(query))]
  return { data: callData(longestVerifierAbi, 'verifyLongest', args) }
}

function longestOfLeaves(leaves: number): Question {
  const parts = { entries: 1, entry: 0, leaves: Array<Hex>(leaves).fill('0x01'), path: [], lower: '0x', upper: '0x' } as const
  const proof = bytesToHex(encodeLongestProof(parts))
  return { data: callData(longestVerifierAbi, 'verifyLongest', [zeroHash, zeroHash, proof, '0x']) }
}

/** The most spans, each with the most places, and the most echoes, over the longest output. `length`: of each span, in words. */
function attributionOf(length: number): Uint8Array {
  const spans = Array.from({ length: POA.spansMax }, (_, i) => ({
    start: i,
    length,
    places: Array.from({ length: POA.placesMax }, (_, place) => ({
      datanet: place === 0 ? 0 : 1,
      uploadIndex: i,
      record: place,
      offset: 0,
    })),
  }))
  const echoes = Array.from({ length: POA.echoesMax }, (_, i) => ({ start: 2_000 + i, length: POA.spanWordsMin, offset: i }))
  const roots = { outputRoot: zeroHash, promptRoot: zeroHash }
  return encodeAttribution({ outputWords: POA.outputWordsMax, promptWords: 10_000, ...roots, echoes, spans })
}

function shares(length: number, overrides: Partial<PrecompileCall> = {}): Question {
  const ledger = largeRecords()
  for (let i = 0; i < POA.spansMax; i++) putUpload(ledger, 2, i)
  return { data: callData(sharesVerifierAbi, 'attribute', [someHash('large'), bytesToHex(attributionOf(length))]), ledger, overrides }
}

/** Gas for the words alone, of a record that is decoded to see what it costs. */
function sharesUnpaid(): Question {
  const { data, ...rest } = shares(6)
  const words = BigInt(Math.ceil((data.length / 2 - 1) / 32))
  return { data, ...rest, overrides: { gasLimit: 30n * words + 1_000n } }
}

const ATTRIBUTION_CASES: readonly PrecompileCase[] = [
  caseOf(VERIFIER.span, { name: '0a13 span, of 8,192 words', calls: 50, answer: 0n }, () => span(8_192, true)),
  caseOf(VERIFIER.span, { name: '0a13 span, of 1 word', calls: 1_000, answer: 0n }, () => span(1, true)),
  caseOf(VERIFIER.span, { name: '0a13 span, 2,048 leaves of a byte', calls: 20, answer: 32n }, () => tinyLeaves(2_048, 65_535)),
  caseOf(VERIFIER.span, { name: '0a13 span, 20,000 leaves of a byte, too many', calls: 20, answer: 32n }, () => tinyLeaves(20_000, 65_535)),
  caseOf(VERIFIER.longest, { name: '0a14 longest, of 4,000 words', calls: 40, answer: 0n }, () => longest(4_000)),
  caseOf(VERIFIER.longest, { name: '0a14 longest, of 40 words', calls: 1_500, answer: 0n }, () => longest(40)),
  caseOf(VERIFIER.longest, { name: '0a14 longest, 20,000 leaves of a byte, too many', calls: 20, answer: 32n }, () =>
    longestOfLeaves(20_000),
  ),
  caseOf(VERIFIER.shares, { name: '0a15 shares, 64 spans of 6 words', calls: 60, answer: 0n }, () => shares(6)),
  caseOf(VERIFIER.shares, { name: '0a15 shares, 64 spans of 4,000 words', calls: 30, answer: 0n }, () => shares(4_000)),
  caseOf(VERIFIER.shares, { name: '0a15 shares, gas for the words alone', calls: 300, answer: 'outOfGas' }, sharesUnpaid),
]

/** Every case of ours. */
export const PRECOMPILE_CASES: readonly PrecompileCase[] = [...DOOR_CASES, ...VERIFIER_CASES, ...ATTRIBUTION_CASES]
