/** A small world for the rules: who is in it, a ledger with one of everything, and how an operation is run as a block runs it. */
import secp256k1 from 'secp256k1'
import { type AbiEvent, bytesToHex, encodeAbiParameters, encodeEventTopics, type Hex, hexToBytes, zeroAddress, zeroHash } from 'viem'
import { privateKeyToAddress } from 'viem/accounts'
import { expect } from 'vitest'
import { getAccount, getEvmExits, putEvmExits, putL1Info } from '../../../execution/ledger/tables.ts'
import { datanetCreate, JOIN_POLICY, LICENCE } from '../../../execution/native/datanetCreate.ts'
import { datanetReview, VERDICT } from '../../../execution/native/datanetReview.ts'
import { CONTRIBUTOR_ROLE, datanetUpload } from '../../../execution/native/datanetUpload.ts'
import { modelIdOf, modelRegister } from '../../../execution/native/modelRegister.ts'
import type { Applied, FieldValues, Log, NativeContext, NativeType } from '../../../execution/native/nativeType.ts'
import { WORKER_ACTION, workerRegister } from '../../../execution/native/workerRegister.ts'
import { type InferenceRequest, requestDigest } from '../../../execution/receipt.ts'
import { createMemoryLedger, deposit, depositToEvm, type MemoryLedger, TEST_PARAMS } from '../../fakes/ledger.ts'

const address = (byte: string): Hex => `0x${byte.repeat(20)}`

/** The people. Those who only send need no key. */
export const OWNER = address('a1')
export const CURATOR = address('a2')
export const UPLOADER = address('a3')
export const ALICE = address('a4')
export const BOB = address('a5')
export const MODELLER = address('a6')
export const WORKER = address('a7')
export const HOT_KEY = address('a8')
export const SECOND_OWNER = address('a9')
export const STRANGER = address('bb')

/** Clients sign their requests. */
export const CLIENT_KEY: Hex = `0x${'c1'.repeat(32)}`
export const SECOND_CLIENT_KEY: Hex = `0x${'c2'.repeat(32)}`
export const CLIENT = privateKeyToAddress(CLIENT_KEY).toLowerCase() as Hex
export const SECOND_CLIENT = privateKeyToAddress(SECOND_CLIENT_KEY).toLowerCase() as Hex

/** What each of them begins with, in wei. */
export const FUNDS = 10n ** 24n
export const NOW = 1_000_000n
export const BLOCK = 77n
export const BOND = 500n
export const STAKE = 5_000n

export const word = (byte: string): Hex => `0x${byte.repeat(32)}`

export const CREATE = {
  name: 'rivers',
  schemaHash: word('01'),
  licence: LICENCE.train | LICENCE.commercialUse | LICENCE.attribution,
  curator: CURATOR,
  joinPolicy: JOIN_POLICY.anyone as number,
  uploadBond: BOND,
}

export const UPLOAD = {
  datanetId: 1,
  contentRoot: word('02'),
  contentId: '0x017012' as Hex,
  recordCount: 10,
  byteCount: 4_000n,
  contributors: [
    { account: ALICE, shareBps: 6_000, role: CONTRIBUTOR_ROLE.collected as number },
    { account: BOB, shareBps: 4_000, role: CONTRIBUTOR_ROLE.labelled as number },
  ],
}

export const REVIEW = { datanetId: 1, uploadIndex: 0, verdict: VERDICT.accept as number, qualityBps: 9_000, reason: 0 }

export const MODEL = {
  name: 'rivers-7b',
  baseHash: word('03'),
  adapterHash: word('04'),
  tokenizerHash: word('05'),
  trainingConfigHash: word('06'),
  runtimeProfileHash: word('07'),
  useFlags: LICENCE.train | LICENCE.attribution,
  datanets: [
    { datanetId: 1, snapshotRoot: word('08'), uploadCount: 1, recordCount: 10, weightBps: 7_000 },
    { datanetId: 2, snapshotRoot: word('09'), uploadCount: 1, recordCount: 20, weightBps: 3_000 },
  ],
  priceBase: 10n ** 12n,
  pricePrompt: 10n ** 9n,
  priceOutput: 3n * 10n ** 9n,
  ownerBps: 2_000,
  workerBps: 5_000,
  contributorBps: 3_000,
  minStake: 2_000n,
  maxTier: 1,
}

/** Id of that model, registered by MODELLER. */
export const MODEL_ID = modelIdOf(MODEL, MODELLER)

export const REGISTRATION = {
  action: WORKER_ACTION.register as number,
  hotKey: HOT_KEY,
  runtimeProfileHash: word('07'),
  stake: STAKE,
  endpoint: 'https://worker.example',
}

/** Fields of a worker's action that uses none of them but `stake`. */
export function workerAction(action: number, stake = 0n) {
  return { action, hotKey: zeroAddress as Hex, runtimeProfileHash: zeroHash as Hex, stake, endpoint: '' }
}

/** The context of an operation: of a native transaction, or (with a value) of a call from the EVM. */
export function contextOf(sender: Hex, callValueWei?: bigint): NativeContext {
  return { params: TEST_PARAMS, blockNumber: BLOCK, timeSec: NOW, sender, callValueWei }
}

/** Runs an operation as a block does: checked, then applied, and undone if it fails. */
export function run(type: NativeType, ledger: MemoryLedger, context: NativeContext, fields: FieldValues): Applied {
  const refused = type.check(fields, context.params.chainId)
  if (refused) return refused
  ledger.checkpoint()
  const applied = type.apply(ledger, context, fields)
  if (applied.ok) ledger.commit()
  else ledger.revert()
  return applied
}

/** Runs an operation that has to succeed; its logs. */
export function mustRun(type: NativeType, ledger: MemoryLedger, context: NativeContext, fields: FieldValues): readonly Log[] {
  const applied = run(type, ledger, context, fields)
  expect(applied).toMatchObject({ ok: true })
  return applied.ok ? applied.logs : []
}

/** Uses all but this of the allowance for value that leaves the EVM. */
export function leaveEvmExit(ledger: MemoryLedger, leftWei: bigint): void {
  const exits = getEvmExits(ledger)
  putEvmExits(ledger, { ...exits, usedWei: exits.perHourWei - leftWei })
}

/** Everybody with funds, and nothing else. */
export function createFundedLedger(): MemoryLedger {
  const ledger = createMemoryLedger()
  for (const account of [OWNER, CURATOR, UPLOADER, MODELLER, WORKER, SECOND_OWNER, STRANGER]) deposit(ledger, account, { balance: FUNDS })
  for (const account of [CLIENT, SECOND_CLIENT]) deposit(ledger, account, { balance: FUNDS, prepaid: FUNDS })
  depositToEvm(ledger, FUNDS)
  putL1Info(ledger, {
    number: 1n,
    hash: zeroHash,
    timestampSec: NOW,
    baseFee: 1n,
    blobBaseFee: 1n,
    prevRandao: zeroHash,
    depositCursor: 0n,
  })
  putEvmExits(ledger, { perHourWei: TEST_PARAMS.evmExitWeiPerHour, usedWei: 0n, atSec: NOW })
  ledger.takeChanges()
  return ledger
}

/**
 * Datanet 1 (OWNER's; upload 0 accepted, upload 1 pending), datanet 2 (SECOND_OWNER's; upload 0 accepted), MODELLER's model over both, and
 * WORKER with its stake. No change is left to take.
 */
export function createWorld(): MemoryLedger {
  const ledger = createFundedLedger()
  mustRun(datanetCreate, ledger, contextOf(OWNER), CREATE)
  mustRun(datanetCreate, ledger, contextOf(SECOND_OWNER), { ...CREATE, name: 'weather' })
  mustRun(datanetUpload, ledger, contextOf(UPLOADER), UPLOAD)
  mustRun(datanetReview, ledger, contextOf(CURATOR), REVIEW)
  mustRun(datanetUpload, ledger, contextOf(UPLOADER), { ...UPLOAD, contentRoot: word('12') })
  mustRun(datanetUpload, ledger, contextOf(UPLOADER), { ...UPLOAD, datanetId: 2, recordCount: 20 })
  mustRun(datanetReview, ledger, contextOf(CURATOR), { ...REVIEW, datanetId: 2 })
  mustRun(modelRegister, ledger, contextOf(MODELLER), MODEL)
  mustRun(workerRegister, ledger, contextOf(WORKER), REGISTRATION)
  ledger.takeChanges()
  return ledger
}

/** A request of CLIENT to WORKER. */
export const REQUEST: InferenceRequest = {
  client: CLIENT,
  worker: WORKER,
  modelId: MODEL_ID,
  promptCommit: word('21'),
  paramsHash: word('22'),
  seed: 5n,
  maxOutputTokens: 1_000,
  maxFee: 10n ** 18n,
  cumulativeMaxFee: 10n ** 20n,
  nonce: 1n,
  deadline: NOW + 60n,
}

/** A draw on the request, signed with the key of its client. */
export function drawOf(request: InferenceRequest, amount: bigint, key: Hex = CLIENT_KEY) {
  const { signature, recid } = secp256k1.ecdsaSign(requestDigest(request, TEST_PARAMS.chainId), hexToBytes(key))
  return { request, signature: bytesToHex(Uint8Array.from([...signature, 27 + recid])), amount }
}

/** Index of an account that has one. */
export function indexOf(ledger: MemoryLedger, account: Hex): number {
  const { index } = getAccount(ledger, account)
  expect(index).toBeGreaterThan(0)
  return index
}

/** The log as viem encodes it. */
export function logOf(door: Hex, event: AbiEvent, args: Readonly<Record<string, unknown>>): Log {
  const rest = event.inputs.filter(({ indexed }) => !indexed)
  return {
    address: door,
    topics: encodeEventTopics({ abi: [event], eventName: event.name, args }) as Hex[],
    data: encodeAbiParameters(
      rest,
      rest.map(({ name }) => args[name ?? '']),
    ),
  }
}
