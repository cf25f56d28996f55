/**
 * What gas is calibrated by: operations of every native type, in several sizes where gas grows with items. A case is a function of the stage it is
 * played on, so that the bench which measures it (test/bench/gas.bench.ts) and the test which recomputes its gas mean the same content.
 */

import secp256k1 from 'secp256k1'
import { bytesToHex, type Hex, zeroHash } from 'viem'
import { DISPUTE_KIND, equivocationEvidence, packEvidence } from '../../execution/disputes/evidence.ts'
import { attributionCredit } from '../../execution/native/attributionCredit.ts'
import { claim } from '../../execution/native/claim.ts'
import { creditDispute } from '../../execution/native/creditDispute.ts'
import { datanetCreate, LICENCE } from '../../execution/native/datanetCreate.ts'
import { datanetReview, VERDICT } from '../../execution/native/datanetReview.ts'
import { datanetUpload } from '../../execution/native/datanetUpload.ts'
import { modelRegister } from '../../execution/native/modelRegister.ts'
import type { FieldValues, NativeType } from '../../execution/native/nativeType.ts'
import { TRANSFER_KIND, transfer } from '../../execution/native/transfer.ts'
import { WORKER_ACTION, workerRegister } from '../../execution/native/workerRegister.ts'
import { encodeReceipt, type InferenceReceipt, receiptDigest } from '../../execution/receipt.ts'
import { ENTRY_WEI } from '../../genesis/params.ts'
import {
  chooseEntries,
  creditFields,
  drawOf,
  modelFields,
  pick,
  type Signer,
  type Stage,
  seeded,
  signer,
  type Turn,
  uploadFields,
} from './operations.ts'
import { STAKE_WEI } from './stage.ts'

/** Gas of one signature recovery, which is what gas is measured by. Source: the Yellow Paper, appendix E, ECREC. */
export const RECOVERY_GAS = 3_000n

/** What stands in test/bench/gasCosts.json of a case: its cost in recoveries of the same run, and its gas. */
export type GasCost = { readonly name: string; readonly recoveries: number; readonly gas: number }

/** What blocks before the measured one left for an operation. */
export type Prepared = {
  /** A pending upload of the stage's first datanet. */
  readonly uploadIndex: number
  /** Epochs from this one on have earnings of the sender. */
  readonly firstEpoch: number
  /** A credit by this worker, its index, and the turn in which it was made. */
  readonly credit: { readonly turn: Turn; readonly creditIndex: number }
}

/** A stage with a model whose credits look back over as many retires as a credit may, of uploads that its snapshots lack. */
export type GasStage = Stage & { readonly retiresModelId: Hex }

export type GasCase = {
  readonly name: string
  readonly type: NativeType
  /** Who sends: accounts in turn, each once; the first earners, one each; workers; or the owner of the stage's datanets. */
  readonly senders: 'accounts' | 'earners' | 'workers' | 'owner'
  /** What has to be on the chain for each operation. */
  readonly needs?: 'upload' | 'credit' | { readonly epochs: number }
  /** Operations of one block, as part of those that a block of the cheapest kind has. */
  readonly part: number
  fields(stage: GasStage, turn: Turn, prepared: Prepared): FieldValues
}

/** A report of evidence, which is no native transaction: its gas is a number. */
export const REPORT_CASE = { name: 'EvidenceReport' } as const

const CONTENT_NAME = 'a datanet with a name as long as names are'

/** Every case. */
export const GAS_CASES: readonly GasCase[] = [
  {
    name: 'Transfer',
    type: transfer,
    senders: 'accounts',
    part: 1,
    fields: ({ receivers }, { number }) =>
      payTo(TRANSFER_KIND.ledger, receivers[pick(`gas transfer ${number}`, receivers.length)] ?? '0x', number),
  },
  {
    name: 'Transfer, new account',
    type: transfer,
    senders: 'accounts',
    part: 1,
    fields: (_, { number }) => payTo(TRANSFER_KIND.ledger, addressFrom(`gas new account ${number}`), number),
  },
  {
    name: 'Transfer, to L1',
    type: transfer,
    senders: 'accounts',
    part: 1,
    fields: (_, { number }) => payTo(TRANSFER_KIND.l1, addressFrom(`gas on L1 ${number}`), number),
  },
  {
    name: 'DatanetCreate',
    type: datanetCreate,
    senders: 'accounts',
    part: 1,
    fields: (_, { number, sender }) => ({
      name: `${CONTENT_NAME} ${String(number).padStart(9, '0')}`,
      schemaHash: bytesToHex(seeded('schema')),
      licence: LICENCE.train,
      curator: sender.address,
      joinPolicy: 0,
      uploadBond: 0n,
    }),
  },
  uploadOf(1),
  uploadOf(4),
  {
    name: 'DatanetReview',
    type: datanetReview,
    senders: 'owner',
    needs: 'upload',
    part: 1,
    fields: ({ datanetIds }, _, { uploadIndex }) => ({
      datanetId: datanetIds[0],
      uploadIndex,
      verdict: VERDICT.accept,
      qualityBps: 10_000,
      reason: 0,
    }),
  },
  modelOver(0),
  modelOver(8),
  modelOver(16),
  {
    name: 'WorkerRegister',
    type: workerRegister,
    senders: 'accounts',
    part: 1,
    fields: (_, { sender }) => registrationOf(sender),
  },
  creditOf({ entries: 1, draws: 1, part: 1 }),
  creditOf({ entries: 10, draws: 1, part: 1 }),
  creditOf({ entries: 100, draws: 1, part: 1 / 4 }),
  creditOf({ entries: 198, draws: 1, part: 1 / 8 }),
  creditOf({ entries: 1, draws: 8, part: 1 / 4 }),
  creditOf({ entries: 1, draws: 20, part: 1 / 4 }),
  {
    name: 'AttributionCredit, 1 entry, 1 draw, 32 retires',
    type: attributionCredit,
    senders: 'workers',
    part: 1 / 4,
    fields: (stage, turn) => creditFields({ ...stage, modelId: stage.retiresModelId }, turn, chooseEntries(stage.earners, 1, turn.number)),
  },
  {
    name: 'CreditDispute, a number signed twice',
    type: creditDispute,
    senders: 'accounts',
    needs: 'credit',
    part: 1 / 4,
    fields: (stage, _, { credit }) => disputeFields(stage, credit),
  },
  claimOf(1),
  claimOf(64),
]

/** A registration with the stake and an endpoint of usual length; the worker signs its receipts itself. */
export function registrationOf(worker: Signer) {
  return {
    action: WORKER_ACTION.register,
    hotKey: worker.address,
    runtimeProfileHash: bytesToHex(seeded('profile')),
    stake: STAKE_WEI,
    endpoint: 'https://worker.example/inference',
  }
}

/** The credit that is disputed in one case: of one receipt, with ten entries. */
export function disputedCredit(stage: Stage, turn: Turn) {
  return creditFields(stage, turn, chooseEntries(stage.earners, 10, turn.number))
}

function payTo(kind: number, to: Hex, number: number): FieldValues {
  return { kind, to, amount: BigInt(1 + number) * ENTRY_WEI }
}

function addressFrom(name: string): Hex {
  return bytesToHex(seeded(name).subarray(0, 20))
}

function uploadOf(contributors: number): GasCase {
  return {
    name: `DatanetUpload, ${contributors} contributor${contributors === 1 ? '' : 's'}`,
    type: datanetUpload,
    senders: 'accounts',
    part: 1,
    fields: (stage, turn) => ({
      ...uploadFields(stage, turn),
      contributors: Array.from({ length: contributors }, (_, i) => ({
        // Whoever has no ledger account gets one, which is what costs.
        account: i === 0 ? turn.sender.address : addressFrom(`gas contributor ${turn.number} ${i}`),
        shareBps: 10_000 / contributors,
        role: 1,
      })),
    }),
  }
}

function modelOver(datanets: number): GasCase {
  return {
    name: `ModelRegister, ${datanets} datanets`,
    type: modelRegister,
    senders: 'accounts',
    part: 1,
    fields: ({ datanetIds }, { number }) => {
      const name = `gas-model-${datanets}-${String(number).padStart(9, '0')}`
      const chosen = Array.from({ length: datanets }, (_, i) => datanetIds[(number + 7 * i) % datanetIds.length] ?? 0)
      const fields = modelFields({ name, datanetIds: chosen })
      // Without datanets nobody contributes.
      return datanets > 0 ? fields : { ...fields, workerBps: fields.workerBps + fields.contributorBps, contributorBps: 0 }
    },
  }
}

function creditOf({ entries, draws, part }: { readonly entries: number; readonly draws: number; readonly part: number }): GasCase {
  return {
    name: `AttributionCredit, ${entries} ${entries === 1 ? 'entry' : 'entries'}, ${draws} draw${draws === 1 ? '' : 's'}`,
    type: attributionCredit,
    senders: 'workers',
    part,
    fields: (stage, turn) => {
      const fields = creditFields(stage, turn, chooseEntries(stage.earners, entries, turn.number))
      if (draws === 1) return fields
      const amount = 1_000n * ENTRY_WEI
      const clients = Array.from({ length: draws }, (_, i) => stage.clients[(turn.number + i) % stage.clients.length] ?? turn.sender)
      const drawn = clients.map((client) => drawOf(stage, client, { worker: turn.sender.address, number: turn.number, amount }))
      return { ...fields, promptTokens: 1_000n * BigInt(draws), draws: drawn, amountsGwei: [1] }
    },
  }
}

function claimOf(epochs: number): GasCase {
  return {
    name: `Claim, ${epochs} epoch${epochs === 1 ? '' : 's'}`,
    type: claim,
    senders: 'earners',
    needs: { epochs },
    part: 1,
    fields: (_, __, { firstEpoch }) => ({ epochs: Array.from({ length: epochs }, (_, i) => firstEpoch + i) }),
  }
}

function disputeFields(stage: Stage, { turn, creditIndex }: Prepared['credit']): FieldValues {
  const credit = disputedCredit(stage, turn)
  const [receipt, other] = [0, 1].map((output) => signReceipt(stage, turn, { output, firstSeq: credit.firstSeq }))
  return {
    kind: DISPUTE_KIND.equivocation,
    worker: turn.sender.address,
    creditIndex,
    drawn: credit.draws.map(({ request, amount }) => ({ client: request.client, amount })),
    accounts: credit.accounts,
    amountsGwei: credit.amountsGwei,
    evidence: packEvidence(equivocationEvidence, {
      receipt: receipt?.bytes ?? '0x',
      receiptSig: receipt?.signature ?? '0x',
      otherReceipt: other?.bytes ?? '0x',
      otherSig: other?.signature ?? '0x',
    }),
    opened: '0x',
  }
}

/** A receipt under the credit's first number, with this output, signed by the worker. */
function signReceipt(
  { chainId, modelId }: Stage,
  { sender, number }: Turn,
  { output, firstSeq }: { readonly output: number; readonly firstSeq: bigint },
): { readonly bytes: Hex; readonly signature: Hex } {
  const receipt: InferenceReceipt = {
    requestHash: bytesToHex(seeded(`gas request ${number}`)),
    modelId,
    worker: sender.address,
    seq: firstSeq,
    outputCommit: bytesToHex(seeded(`gas output ${number} ${output}`)),
    tokensRoot: zeroHash,
    traceRoot: zeroHash,
    attributionHash: zeroHash,
    attestationId: zeroHash,
    promptTokens: 1,
    outputTokens: 1,
    fee: 1n,
    finishedAt: 1n,
    tier: 0,
  }
  const { signature, recid } = secp256k1.ecdsaSign(receiptDigest(receipt, chainId), sender.secret)
  return { bytes: bytesToHex(encodeReceipt(receipt)), signature: bytesToHex(Uint8Array.from([...signature, 27 + recid])) }
}

/** A stage that stands on no chain and a turn on it: all that gas, a function of content alone, depends on. */
export function imaginedGas(): { readonly stage: GasStage; readonly turn: Turn; readonly prepared: Prepared } {
  const turn = { number: 0, sender: signer('worker', 0), nonce: 1n }
  const stage = {
    chainId: 1,
    datanetIds: Array.from({ length: 64 }, (_, i) => i + 1),
    modelId: bytesToHex(seeded('imagined model')),
    retiresModelId: bytesToHex(seeded('imagined model over retires')),
    clients: Array.from({ length: 64 }, (_, i) => signer('client', i)),
    earners: Array.from({ length: 2_000 }, (_, i) => i + 1),
    receivers: [addressFrom('imagined receiver')],
  }
  return { stage, turn, prepared: { uploadIndex: 0, firstEpoch: 1, credit: { turn, creditIndex: 0 } } }
}
