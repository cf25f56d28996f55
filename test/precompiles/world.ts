/**
 * One story in native operations: from a transfer over a datanet, a model and a paid window of receipts to the claim. Each step is good on the
 * ledger that the steps before it left, and as a call of its door too, unless it spends what is prepaid.
 */
import { type Hex, keccak256, toHex, zeroAddress, zeroHash } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import type { JournaledLedger } from '../../execution/ledger/ledger.ts'
import { addBalance, putEvmExits, putL1Info, putSupply } from '../../execution/ledger/tables.ts'
import { modelIdOf } from '../../execution/native/modelRegister.ts'
import { NATIVE_TYPES } from '../../execution/native/native.ts'
import type { FieldValues, Log, NativeType } from '../../execution/native/nativeType.ts'
import { requestDigest } from '../../execution/receipt.ts'
import { ENTRY_WEI, OPEN_WEI } from '../../genesis/params.ts'
import { createEmptyLedger, PARAMS } from './frame.ts'

const client = privateKeyToAccount(keccak256(toHex('client')))

export const OWNER: Hex = '0x0000000000000000000000000000000000a11ce1'
export const CURATOR: Hex = '0x0000000000000000000000000000000000c04a70'
export const UPLOADER: Hex = '0x0000000000000000000000000000000000b0b001'
export const LABELLER: Hex = '0x0000000000000000000000000000000000b0b002'
export const WORKER: Hex = '0x00000000000000000000000000000000000f00d1'
export const HOT_KEY: Hex = '0x00000000000000000000000000000000000f00d2'
export const CLIENT = client.address.toLowerCase() as Hex

/** What each of them has in the ledger at the start, and what the EVM holds, in wei. */
const START_WEI = 1_000n * OPEN_WEI

export const L1_INFO = {
  number: 21_000_000n,
  hash: keccak256(toHex('l1')),
  timestampSec: 900n,
  baseFee: 7n,
  blobBaseFee: 1n,
  prevRandao: keccak256(toHex('randao')),
  depositCursor: 3n,
}

/** An operation that succeeds at its place in the story. `valueWei` is what the rule takes. */
export type Step = {
  readonly name: string
  readonly type: NativeType
  readonly sender: Hex
  readonly fields: FieldValues
  readonly valueWei: bigint
  readonly timeSec: bigint
  /** A call of the door is refused: the step spends what somebody prepaid. */
  readonly nativeOnly: boolean
}

/** The native type of this name. */
export function typeNamed(name: string): NativeType {
  const type = NATIVE_TYPES.find((one) => one.name === name)
  if (!type) throw new Error(`there is no type ${name}`)
  return type
}

const DATANET = {
  name: 'Field notes',
  schemaHash: keccak256(toHex('schema')),
  licence: 0x1_0007,
  curator: CURATOR,
  joinPolicy: 0,
  uploadBond: 7n,
}
const UPLOAD = {
  datanetId: 1,
  contentRoot: keccak256(toHex('records')),
  contentId: '0x0155122000ff',
  recordCount: 12,
  byteCount: 3_456n,
  contributors: [
    { account: UPLOADER, shareBps: 6_000, role: 1 },
    { account: LABELLER, shareBps: 4_000, role: 3 },
  ],
}
const MODEL = {
  name: 'Field notes 1B',
  baseHash: keccak256(toHex('base')),
  adapterHash: keccak256(toHex('adapter')),
  tokenizerHash: keccak256(toHex('tokenizer')),
  trainingConfigHash: keccak256(toHex('training')),
  runtimeProfileHash: keccak256(toHex('runtime')),
  useFlags: 0x1_0003,
  datanets: [{ datanetId: 1, snapshotRoot: keccak256(toHex('snapshot')), uploadCount: 1, recordCount: 12, weightBps: 10_000 }],
  priceBase: ENTRY_WEI * 1_000n,
  pricePrompt: ENTRY_WEI,
  priceOutput: 2n * ENTRY_WEI,
  ownerBps: 3_000,
  workerBps: 3_000,
  contributorBps: 4_000,
  minStake: 0n,
  maxTier: 1,
}
export const MODEL_ID = modelIdOf(MODEL, OWNER)
const WORKER_FIELDS = {
  action: 0,
  hotKey: HOT_KEY,
  runtimeProfileHash: keccak256(toHex('runtime')),
  stake: 20n * OPEN_WEI,
  endpoint: 'https://worker.example',
}
const NOTHING = { hotKey: zeroAddress, runtimeProfileHash: zeroHash, stake: 0n, endpoint: '' }
const REQUEST = {
  client: CLIENT,
  worker: WORKER,
  modelId: MODEL_ID,
  promptCommit: keccak256(toHex('prompt')),
  paramsHash: keccak256(toHex('params')),
  seed: 5n,
  maxOutputTokens: 500,
  maxFee: OPEN_WEI,
  cumulativeMaxFee: OPEN_WEI,
  nonce: 1n,
  deadline: 5_000n,
}
const FEE_WEI = 2n * MODEL.priceBase + 100n * MODEL.pricePrompt + 200n * MODEL.priceOutput

const SIGNATURE = await client.sign({ hash: toHex(requestDigest(REQUEST, PARAMS.chainId)) })
const CREDIT = {
  worker: WORKER,
  modelId: MODEL_ID,
  firstSeq: 1n,
  count: 2,
  receiptsRoot: keccak256(toHex('receipts')),
  attributionRoot: keccak256(toHex('attribution')),
  promptTokens: 100n,
  outputTokens: 200n,
  draws: [{ request: REQUEST, signature: SIGNATURE, amount: FEE_WEI }],
  accounts: [3, 7],
  amountsGwei: [100, 200],
}

const DISPUTE = {
  kind: 2,
  worker: WORKER,
  creditIndex: 0,
  drawn: [{ client: CLIENT, amount: FEE_WEI }],
  accounts: CREDIT.accounts,
  amountsGwei: CREDIT.amountsGwei,
  evidence: '0x00',
  opened: '0x',
}

/** The story. Every function of every door occurs in it. */
export const STEPS: readonly Step[] = [
  step('transfer', 'Transfer', OWNER, { kind: 0, to: CLIENT, amount: 5n }, { valueWei: 5n }),
  step('prepay', 'Transfer', CLIENT, { kind: 2, to: CLIENT, amount: OPEN_WEI }, { valueWei: OPEN_WEI }),
  step('withdraw to L1', 'Transfer', OWNER, { kind: 3, to: OWNER, amount: 9n }, { valueWei: 9n }),
  step('create a datanet', 'DatanetCreate', OWNER, DATANET),
  step('upload', 'DatanetUpload', UPLOADER, UPLOAD, { valueWei: 7n }),
  step('accept', 'DatanetReview', CURATOR, { datanetId: 1, uploadIndex: 0, verdict: 1, qualityBps: 9_000, reason: 0 }),
  step('register a model', 'ModelRegister', OWNER, MODEL),
  step('register a worker', 'WorkerRegister', WORKER, WORKER_FIELDS, { valueWei: WORKER_FIELDS.stake }),
  step('credit', 'AttributionCredit', HOT_KEY, CREDIT, { nativeOnly: true }),
  // Evidence that shows nothing: judged all the same, and its bond lost.
  step('dispute', 'CreditDispute', CURATOR, DISPUTE, { valueWei: PARAMS.disputeBondWei }),
  step('unbond', 'WorkerRegister', WORKER, { ...NOTHING, action: 1, stake: OPEN_WEI }),
  step('retire the upload', 'DatanetReview', OWNER, { datanetId: 1, uploadIndex: 0, verdict: 3, qualityBps: 0, reason: 2 }),
  step('take the stake', 'WorkerRegister', WORKER, { ...NOTHING, action: 2 }, { timeSec: 1_150n }),
  step('claim', 'Claim', LABELLER, { epochs: [9, 10] }, { timeSec: 1_150n }),
]

function step(
  name: string,
  typeName: string,
  sender: Hex,
  fields: FieldValues,
  { valueWei = 0n, timeSec = 1_000n, nativeOnly = false }: Partial<Pick<Step, 'valueWei' | 'timeSec' | 'nativeOnly'>> = {},
): Step {
  return { name, type: typeNamed(typeName), sender, fields, valueWei, timeSec, nativeOnly }
}

/** The ledger after the first `count` steps, all taken on the native lane, with nothing left to seal. */
export function worldAfter(count: number): JournaledLedger {
  const ledger = createEmptyLedger()
  const holders = [OWNER, CURATOR, UPLOADER, WORKER, CLIENT, HOT_KEY]
  putL1Info(ledger, L1_INFO)
  putSupply(ledger, { deposited: START_WEI * BigInt(holders.length + 1), withdrawn: 0n, evmSupply: START_WEI })
  putEvmExits(ledger, { perHourWei: START_WEI, usedWei: 0n, atSec: L1_INFO.timestampSec })
  for (const holder of holders) addBalance(ledger, holder, START_WEI)
  for (const one of STEPS.slice(0, count)) applyNatively(ledger, one)
  ledger.takeChanges()
  return ledger
}

/** Takes the step as a native transaction would, and returns its logs. */
export function applyNatively(ledger: JournaledLedger, { name, type, sender, fields, timeSec }: Step): readonly Log[] {
  const applied = type.apply(ledger, { params: PARAMS, blockNumber: 7n, timeSec, sender, callValueWei: undefined }, fields)
  if (type.check(fields, PARAMS.chainId) || !applied.ok) throw new Error(`${name} failed: ${applied.ok ? 'check' : applied.code}`)
  return applied.logs
}
