/**
 * Bytes of payload that operations take in a batch of one block, and what they are compared with: the same done by a contract,
 * test/bench/contracts/Hub.sol.
 */
import { bytesToHex, type Hex } from 'viem'
import { commonOf } from '../../execution/ethereumRules.ts'
import { createGenesisBlock } from '../../execution/genesisBlock.ts'
import { datanetUpload } from '../../execution/native/datanetUpload.ts'
import { decodeTx, type Tx } from '../../execution/tx.ts'
import { brotli } from '../../node/brotli.ts'
import { type Batch, encodeBatch, toBatchBlocks } from '../../settlement/batch.ts'
import { encodeLane, groupsOf, laneRows } from '../../settlement/lane.ts'
import { testGenesis } from '../fakes/testChain.ts'
import { type HubStage, hubOperation } from './hub.ts'
import {
  nativeOperation,
  rootContentId,
  type Signer,
  type Stage,
  seeded,
  signCall,
  signers,
  signNative,
  uploadFields,
} from './operations.ts'

const genesis = testGenesis()
const common = commonOf(genesis.params.chainId)
const { header } = createGenesisBlock(genesis).block

/** The chain that posted operations are signed for. */
export const POSTED_CHAIN_ID = genesis.params.chainId

/** The transaction that the bytes are. */
export function decodedTx(raw: Uint8Array): Tx {
  const result = decodeTx(raw, common)
  if (!result.ok) throw new Error(`an operation is malformed: ${result.code} ${result.reason ?? ''}`)
  return result.tx
}

/** Bytes of the batch with one block of these, an operation; undefined if they do not fit into six blobs. */
export function postedBytes(raws: readonly Uint8Array[]): number | undefined {
  const parent = { timestampMs: genesis.timestampMs, originNumber: genesis.l1.origin.number }
  const time = { number: 1n, timestamp: header.timestamp + 1n }
  const blocks = [{ header: { ...header, ...time }, transactions: raws.map(decodedTx), operations: [] }]
  const lane = encodeLane(groupsOf(laneRows(blocks)))
  const batch: Batch = {
    index: 1n,
    firstBlock: 1n,
    commit: { round: 0, bitmap: Uint8Array.of(1), signature: new Uint8Array(96).fill(0xa5) },
    blocks: toBatchBlocks(blocks, parent),
    ledgerRootBefore: bytesToHex(seeded('root')),
    lane,
    ledgerRoots: lane.places.map((_, i): Hex => bytesToHex(seeded(`root ${i}`))),
  }
  const encoded = encodeBatch(batch, { parent, compress: brotli.compress })
  if (!encoded.ok && encoded.code !== 'payloadTooLarge') throw new Error(`no batch: ${encoded.code}`)
  return encoded.ok ? encoded.payload.length / raws.length : undefined
}

/** Senders, clients and earners of the comparison, as of a network with a million accounts. */
const SENDERS = 256
const EARNERS = 5_000

/** Bytes on L1 of one operation, in a batch of as many as said. */
export type OperationBytes = {
  readonly operation: string
  readonly ops: number
  /** As a native row. */
  readonly native: number | undefined
  /** As a call of the contract, compressed by brotli. */
  readonly contract: number | undefined
}

/** Uploads, credits and transfers, natively and by the contract's calls: the same content, senders, entries and amounts. */
export function compareBytes(): {
  readonly operations: readonly OperationBytes[]
  readonly creditBytesOfContract: number
  readonly wholeCreditOfContract: number
} {
  const senders = signers('sender', SENDERS)
  const clients = signers('client', SENDERS)
  const earners = signers('earner', EARNERS).map(({ address }) => address)
  const stage: Stage = {
    ...{ chainId: POSTED_CHAIN_ID, modelId: bytesToHex(seeded('model')), clients },
    datanetIds: Array.from({ length: 64 }, (_, i) => i + 1),
    earners: Array.from({ length: EARNERS }, (_, i) => 1 + i * 200),
    receivers: senders.map(({ address }) => address),
  }
  const hub: HubStage = { chainId: POSTED_CHAIN_ID, hub: `0x${'4b'.repeat(20)}`, modelId: stage.modelId, clients, earners }
  const many = (ops: number, make: (turn: { number: number; sender: Signer; nonce: bigint }) => Uint8Array) =>
    postedBytes(
      Array.from({ length: ops }, (_, number) => {
        const sender = senders[number % SENDERS]
        if (!sender) throw new Error('there are no senders')
        return make({ number, sender, nonce: BigInt(1 + Math.floor(number / SENDERS)) })
      }),
    )
  const both = (kind: 'upload' | 'credit10' | 'credit100', ops: number): OperationBytes => ({
    ...{ operation: kind, ops, native: many(ops, (turn) => nativeOperation(kind, stage, turn)) },
    contract: many(ops, (turn) => hubOperation(kind, hub, turn)),
  })
  const ofRoot: OperationBytes = {
    ...{ operation: "upload, its content id the root's", ops: 1_000, contract: undefined },
    native: many(1_000, (turn) => {
      const fields = uploadFields(stage, turn)
      return signNative(turn, {
        type: datanetUpload,
        fields: { ...fields, contentId: rootContentId(fields.contentRoot) },
        chainId: POSTED_CHAIN_ID,
      })
    }),
  }
  const transfer: OperationBytes = {
    ...{ operation: 'EVM transfer', ops: 1_000, native: undefined },
    contract: many(1_000, (turn) => {
      const to = stage.receivers[(turn.number * 7 + 1) % SENDERS] ?? '0x'
      return signCall(turn, POSTED_CHAIN_ID, { to, valueWei: BigInt(turn.number + 1) * 10n ** 12n, gas: 21_000n })
    }),
  }
  const [ten, hundred] = [both('credit10', 500), both('credit100', 500)]
  const entry = (of: 'native' | 'contract') => ((hundred[of] ?? 0) - (ten[of] ?? 0)) / 90
  return {
    operations: [both('upload', 1_000), ofRoot, ten, hundred, transfer],
    creditBytesOfContract: entry('native') / entry('contract'),
    wholeCreditOfContract: (hundred.native ?? 0) / (hundred.contract ?? 1),
  }
}
