/**
 * The second half of the loop: a model made from the snapshot, a worker with stake, clients with prepaid OPEN; then requests that clients sign, outputs
 * of the model, and receipts that the worker's hot key signs, each put before the chain's receipt verifier.
 */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { bytesToHex, type Hex, hexToBytes, keccak256, parseEther, parseEventLogs, stringToBytes, zeroHash } from 'viem'
import { createAttributor } from '../../execution/attribution/attribute.ts'
import { type AttributionRecord, attributionHash } from '../../execution/attribution/attributionRecord.ts'
import { wordsBySource } from '../../execution/attribution/shares.ts'
import { LICENCE } from '../../execution/native/datanetCreate.ts'
import { modelsDoorAbi, RECEIPT_CODE, type ReceiptCode, receiptVerifierAbi } from '../../execution/native/doorAbi.ts'
import {
  encodeReceipt,
  encodeRequest,
  type InferenceReceipt,
  type InferenceRequest,
  outputCommit,
  promptCommit,
  receiptId,
  receiptsRoot,
  requestHash,
  signedId,
} from '../../execution/receipt.ts'
import { BPS, DOOR, VERIFIER } from '../../genesis/params.ts'
import { createAnswerer } from './answer.ts'
import { DEMO_LICENCE, type Snapshot } from './datanet.ts'
import { openOf, percentOf, type Screen } from './screen.ts'
import { expectThat, included, type Person, refusalOf, type Stage } from './stage.ts'
import { wordsOf } from './words.ts'

/** What people ask. */
const PROMPTS = [
  'How do I write a batch of operations to the database atomically?',
  'Which encodings can keys and values have?',
  'Is WebAssembly faster than JavaScript for hashing?',
  'How does one sublevel keep its keys apart from the others?',
  'How are hash functions audited?',
  'Which hardforks are supported?',
  'What happens when a snapshot of the database is closed?',
  'Which libraries are for elliptic curve cryptography and signatures?',
  'What does an iterator read?',
  'What is a blob transaction and what does KZG have to do with it?',
  'Does the software come with a warranty?',
  'How do I add a custom precompile to the EVM?',
  'How much memory does a password hash need?',
  'How do I run a transaction in the VM and read its result?',
  'Under which licence is the software released, and may I redistribute copies?',
  'What must I do when the database fails to open?',
] as const

/** Prices of the model, and how what is left of a fee after the protocol's part is shared. */
const PRICES = { priceBase: parseEther('0.05'), pricePrompt: parseEther('0.001'), priceOutput: parseEther('0.004') }
const SHARES = { ownerBps: 2_000, workerBps: 3_500, contributorBps: 4_500 }

const OUTPUT_WORDS_MAX = 120
const STAKE_WEI = parseEther('2000')
const MIN_STAKE_WEI = parseEther('1500')
const PREPAID_WEI = parseEther('10')
/** Seconds in which a request must be answered. */
const DEADLINE_SEC = 600
/** Words in a leaf below `tokensRoot`. */
const WORDS_PER_LEAF = 64

const ENDPOINT = 'https://worker.example/v1'

export type Prices = typeof PRICES & typeof SHARES

/** The model as registered. */
export type Model = { readonly modelId: Hex; readonly prices: Prices }

/** One inference: what was asked, what came out, what both sides signed, and where the words are from. */
export type Served = {
  readonly prompt: string
  readonly output: string
  readonly request: InferenceRequest
  readonly requestSig: Hex
  readonly receipt: InferenceReceipt
  readonly receiptSig: Hex
  readonly receiptId: Hex
  /** Receipt and both signatures, as the credit commits to them. */
  readonly signedId: Hex
  readonly attribution: AttributionRecord
}

/** Registers the model on the snapshot, after it has shown that more than the licence grants is refused. */
export async function registerModel(stage: Stage, screen: Screen, snapshot: Snapshot): Promise<Model> {
  const { client, modelOwner } = stage
  const { datanetId, root, uploadCount, texts } = snapshot
  const fields = {
    name: 'Extractive answerer',
    // Not a language model: the model is the program that picks the sentences, and its records.
    baseHash: keccak256(readFileSync(new URL('./answer.ts', import.meta.url))),
    adapterHash: zeroHash,
    tokenizerHash: keccak256(readFileSync(new URL('./words.ts', import.meta.url))),
    trainingConfigHash: zeroHash,
    runtimeProfileHash: keccak256(stringToBytes('{"engine":"extractive","determinism":"D0"}')),
    useFlags: DEMO_LICENCE,
    datanets: [{ datanetId, snapshotRoot: root, uploadCount, recordCount: texts.length, weightBps: BPS }],
    ...PRICES,
    ...SHARES,
    minStake: MIN_STAKE_WEI,
    maxTier: 0,
  }
  const { name, baseHash, useFlags, datanets, ...rest } = fields
  const { adapterHash, tokenizerHash, trainingConfigHash, runtimeProfileHash } = rest
  const exceeding = useFlags | LICENCE.redistributeWeights
  const head = [name, baseHash, adapterHash, tokenizerHash, trainingConfigHash, runtimeProfileHash, exceeding, datanets] as const
  const tail = [
    rest.priceBase,
    rest.pricePrompt,
    rest.priceOutput,
    rest.ownerBps,
    rest.workerBps,
    rest.contributorBps,
    rest.minStake,
    rest.maxTier,
  ] as const
  const call = {
    address: DOOR.models,
    abi: modelsDoorAbi,
    functionName: 'register',
    args: [...head, ...tail],
    account: modelOwner.address,
  } as const
  const refusedWith = await refusalOf(client.simulateContract(call))
  expectThat(refusedWith === 'licenceExceeded', `a model that gives weights away was refused with ${refusedWith || 'nothing'}`)
  screen.step('licence', 'a model that would also give its weights away is refused: licenceExceeded', { refusedWith, useFlags: exceeding })

  const hash = await client.registerModel({ account: modelOwner.account, ...fields })
  const [registered] = parseEventLogs({ abi: modelsDoorAbi, eventName: 'ModelRegistered', logs: (await included(stage, hash)).logs })
  expectThat(registered !== undefined, 'registering a model left no log')
  const { modelId } = registered.args
  const shares = `owner ${percentOf(SHARES.ownerBps)}, worker ${percentOf(SHARES.workerBps)}, contributors ${percentOf(SHARES.contributorBps)}`
  screen.step('model', `model ${modelId} on that snapshot: an extractive answerer, no language model; ${shares}`, {
    ...fields,
    modelId,
    transaction: hash,
  })
  return { modelId, prices: { ...PRICES, ...SHARES } }
}

/** Registers the worker with a fresh hot key and enough stake, and fills up what the clients have prepaid. */
export async function openForBusiness(stage: Stage, screen: Screen): Promise<void> {
  const { client, worker, hotKey, clients } = stage
  const known = await client.getWorker({ worker: worker.address })
  const missingWei = STAKE_WEI - (known?.stake ?? 0n)
  const stake = missingWei > 0n ? missingWei : 0n
  const hashes = [await client.registerWorker({ account: worker.account, hotKey: hotKey.address, stake, endpoint: ENDPOINT })]
  for (const { account, address } of clients) {
    const { prepaid } = await client.getLedgerAccount({ account: address })
    if (prepaid < PREPAID_WEI) hashes.push(await client.transfer({ account, kind: 'prepaid', to: address, amount: PREPAID_WEI - prepaid }))
  }
  for (const hash of hashes) await included(stage, hash)
  const registered = await client.getWorker({ worker: worker.address })
  expectThat(registered?.hotKey === hotKey.address && registered.stake >= STAKE_WEI, 'the worker is not what it registered')
  const facts = { worker: worker.address, hotKey: hotKey.address, stakeWei: registered.stake, lastSeq: registered.lastSeq }
  screen.step('worker', `worker ${worker.address} stakes ${openOf(registered.stake)} OPEN; hot key ${hotKey.address}`, facts)
  screen.step('prepaid', `${clients.length} clients have ${openOf(PREPAID_WEI)} OPEN prepaid each`, {
    clients: clients.map(({ address }) => address),
    prepaidWei: PREPAID_WEI,
  })
}

/** Plays the prompts, clients in turn: request, output, receipt. The vouchers go on from what the worker has drawn. */
export async function serve(stage: Stage, screen: Screen, snapshot: Snapshot, { modelId, prices }: Model): Promise<Served[]> {
  const { client, worker, clients } = stage
  const answer = createAnswerer(snapshot.texts)
  const attribute = createAttributor(snapshot.records)
  const lastSeq = (await client.getWorker({ worker: worker.address }))?.lastSeq ?? 0n
  const spentWei = new Map<Hex, bigint>()
  for (const { address } of clients) spentWei.set(address, (await client.getDraw({ client: address, worker: worker.address })).drawn)

  const window: Served[] = []
  for (const [i, prompt] of PROMPTS.entries()) {
    const asking = clients[i % 2 === 0 ? 0 : 1]
    const spent = spentWei.get(asking.address) ?? 0n
    const nowSec = BigInt(Math.floor(Date.now() / 1000))
    const seq = lastSeq + BigInt(i) + 1n
    const { request, requestSig } = await ask(stage, asking, { prompt, modelId, prices, spentWei: spent, nonce: seq, nowSec })
    const output = answer(prompt, OUTPUT_WORDS_MAX)
    const attribution = attribute(stringToBytes(output), stringToBytes(prompt))
    const receipt = makeReceipt(request, { prompt, output, seq, nowSec, prices, attribution })
    const receiptSig = await client.signInferenceReceipt({ receipt, account: stage.hotKey.account })
    spentWei.set(asking.address, spent + receipt.fee)
    const id = receiptId(receipt)
    const signed = signedId(id, hexToBytes(requestSig), hexToBytes(receiptSig))
    window.push({ prompt, output, request, requestSig, receipt, receiptSig, receiptId: id, signedId: signed, attribution })
  }
  const [sample] = window
  if (sample) screen.show(`    ${clients[0].role}: ${sample.prompt}\n    worker: ${sample.output}\n`)
  await verifyReceipts(stage, screen, window)
  const words = window.reduce((sum, { attribution }) => sum + attribution.outputWords, 0)
  const sources = window.flatMap(({ attribution }) => wordsBySource(attribution))
  const matched = sources.reduce((sum, one) => sum + one.words, 0)
  const records = new Set(sources.map(({ source }) => `${source.uploadIndex}/${source.record}`)).size
  const sentence = `${matched} of ${words} words of the outputs stand, six or more in a row, in ${records} of the records`
  screen.step('attribution', sentence, { words, matched, records, attributionHashes: window.map(({ receipt }) => receipt.attributionHash) })
  return window
}

type Asked = {
  readonly prompt: string
  readonly modelId: Hex
  readonly prices: Prices
  readonly spentWei: bigint
  readonly nonce: bigint
  readonly nowSec: bigint
}

/** What a client signs: the question's hash, the most it pays for the answer, and with that the total that the worker may have drawn by then. */
async function ask({ client, worker }: Stage, asking: Person, { prompt, modelId, prices, spentWei, nonce, nowSec }: Asked) {
  const maxFee = feeOf(prices, wordsOf(prompt).length, OUTPUT_WORDS_MAX)
  const request: InferenceRequest = {
    client: asking.address,
    worker: worker.address,
    modelId,
    promptCommit: promptCommit(randomBytes(32), stringToBytes(prompt)),
    paramsHash: zeroHash,
    seed: 0n,
    maxOutputTokens: OUTPUT_WORDS_MAX,
    maxFee,
    cumulativeMaxFee: spentWei + maxFee,
    nonce,
    deadline: nowSec + BigInt(DEADLINE_SEC),
  }
  return { request, requestSig: await client.signInferenceRequest({ request, account: asking.account }) }
}

type Answered = {
  readonly prompt: string
  readonly output: string
  readonly seq: bigint
  readonly nowSec: bigint
  readonly prices: Prices
  readonly attribution: AttributionRecord
}

/** The tokens that are counted and paid are words (words.ts). */
function makeReceipt(request: InferenceRequest, { prompt, output, seq, nowSec, prices, attribution }: Answered): InferenceReceipt {
  const [asked, answered] = [wordsOf(prompt), wordsOf(output)]
  return {
    requestHash: requestHash(request),
    modelId: request.modelId,
    worker: request.worker,
    seq,
    outputCommit: outputCommit(randomBytes(32), stringToBytes(output)),
    tokensRoot: tokensRoot([...asked, ...answered]),
    traceRoot: zeroHash,
    attributionHash: attributionHash(attribution),
    attestationId: zeroHash,
    promptTokens: asked.length,
    outputTokens: answered.length,
    fee: feeOf(prices, asked.length, answered.length),
    finishedAt: nowSec,
    tier: 0,
  }
}

/** Has the chain check every receipt, one that somebody else signed, and one that asks too much. */
async function verifyReceipts(stage: Stage, screen: Screen, window: readonly Served[]): Promise<void> {
  const codes = await Promise.all(window.map((served) => verifyOnChain(stage, served)))
  const refused = codes.findIndex((code) => code !== RECEIPT_CODE.ok)
  expectThat(refused === -1, `receipt ${refused} was refused with code ${codes[refused]}`)
  const feeWei = window.reduce((sum, { receipt }) => sum + receipt.fee, 0n)
  screen.step('receipts', `${window.length} requests and receipts, ${openOf(feeWei)} OPEN of fees; the verifier says 0 (OK) to each`, {
    receipts: window.length,
    feeWei,
    codes,
    receiptIds: window.map((served) => served.receiptId),
  })
  const [first] = window
  expectThat(first !== undefined, 'nothing was served')
  const forgedCode = await verifyOnChain(stage, {
    ...first,
    receiptSig: await stage.client.signInferenceReceipt({ receipt: first.receipt, account: stage.modelOwner.account }),
  })
  const greedy = { ...first.receipt, fee: first.receipt.fee + 1n }
  const greedyCode = await verifyOnChain(stage, {
    ...first,
    receipt: greedy,
    receiptSig: await stage.client.signInferenceReceipt({ receipt: greedy, account: stage.hotKey.account }),
  })
  expectThat(forgedCode === RECEIPT_CODE.badReceiptSig, `a receipt signed by another key got code ${forgedCode}`)
  expectThat(greedyCode === RECEIPT_CODE.feeMismatch, `a receipt with a wrong fee got code ${greedyCode}`)
  screen.step(
    'forged',
    `a receipt signed by another key is refused (code ${forgedCode}), one that asks 1 wei more as well (code ${greedyCode})`,
    { forgedCode, greedyCode },
  )
}

/** The code that the receipt verifier answers. */
export async function verifyOnChain(
  { client }: Stage,
  served: Pick<Served, 'request' | 'requestSig' | 'receipt' | 'receiptSig'>,
): Promise<ReceiptCode> {
  const { request, requestSig, receipt, receiptSig } = served
  const args = [bytesToHex(encodeRequest(request)), requestSig, bytesToHex(encodeReceipt(receipt)), receiptSig] as const
  const [code] = await client.readContract({ address: VERIFIER.receipt, abi: receiptVerifierAbi, functionName: 'verify', args })
  return code as ReceiptCode
}

function feeOf({ priceBase, pricePrompt, priceOutput }: Prices, promptWords: number, outputWords: number): bigint {
  return priceBase + BigInt(promptWords) * pricePrompt + BigInt(outputWords) * priceOutput
}

/** Root over the words, 64 to a leaf, by the tree of receipts. There is at least one. */
function tokensRoot(words: readonly string[]): Hex {
  const leaves = Array.from({ length: Math.ceil(words.length / WORDS_PER_LEAF) }, (_, i) =>
    keccak256(stringToBytes(words.slice(i * WORDS_PER_LEAF, (i + 1) * WORDS_PER_LEAF).join(' '))),
  )
  return receiptsRoot(leaves)
}
