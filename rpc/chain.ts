/**
 * What the JSON-RPC methods need of a node. node/ answers this port; tests answer it from memory.
 * Every read is of committed blocks, so that two answers to one request agree.
 */
import type { Hex } from 'viem'
import type { Block, Header, Receipt } from '../execution/block.ts'
import type { LedgerProof } from '../execution/ledger/proof.ts'
import type { Validator } from '../execution/ledger/validators.ts'
import type { Log, Rejection } from '../execution/native/nativeType.ts'
import type { Tx } from '../execution/tx.ts'
import type { Watcher } from '../execution/watcher.ts'
import type { GenesisL1 } from '../genesis/genesis.ts'
import type { ChainParams } from '../genesis/params.ts'
import type { Json } from './quantity.ts'

/** Heads: latest is BFT-final, safe is in a canonical L1 block, finalized is in a final one. */
export type Heads = { readonly latest: bigint; readonly safe: bigint; readonly finalized: bigint }

/** A committed block with what indexers ask for. `hash` is known, `transactions` are decoded, one receipt each. */
export type ChainBlock = {
  readonly hash: Hex
  readonly block: Block
  /** Bytes of the block's RLP. */
  readonly size: number
  readonly transactions: readonly Tx[]
  readonly receipts: readonly Receipt[]
}

/** A block's receipts, and the hash of each transaction for who asks for it. */
export type BlockLogs = {
  readonly hash: Hex
  readonly header: Header
  readonly receipts: readonly Receipt[]
  hashOf(index: number): Hex
}

/** A transaction in its block, with what it left behind. */
export type PlacedTransaction = {
  readonly blockHash: Hex
  readonly header: Header
  readonly index: number
  readonly tx: Tx
  readonly receipt: Receipt
  /** Logs of the block's transactions before this one. */
  readonly logsBefore: number
}

/** A call to simulate. Absent members take Ethereum's defaults; `to` absent creates. */
export type CallRequest = {
  readonly from?: Hex | undefined
  readonly to?: Hex | undefined
  readonly gas?: bigint | undefined
  readonly gasPrice?: bigint | undefined
  readonly maxFeePerGas?: bigint | undefined
  readonly maxPriorityFeePerGas?: bigint | undefined
  readonly value?: bigint | undefined
  readonly data?: Hex | undefined
  readonly accessList?: AccessList | undefined
}

/** Accounts as they shall look for one call, by address. Source: execution-apis, eth_call state overrides. */
export type StateOverrides = Readonly<
  Record<
    Hex,
    {
      readonly balance?: bigint | undefined
      readonly nonce?: bigint | undefined
      readonly code?: Hex | undefined
      /** Replaces the whole storage. */
      readonly state?: Readonly<Record<Hex, Hex>> | undefined
      /** Replaces single slots. */
      readonly stateDiff?: Readonly<Record<Hex, Hex>> | undefined
    }
  >
>

/** Source: EIP-2930. */
export type AccessList = readonly { readonly address: Hex; readonly storageKeys: readonly Hex[] }[]

/** What a call gave with its accesses listed. */
export type AccessListed = CallResult & { readonly accessList: AccessList }

export type CallResult =
  | { readonly ok: true; readonly output: Hex; readonly gasUsed: bigint; readonly logs: readonly Log[] }
  /** The call reverted, or halted: `output` is revert data, `reason` the EVM's word for a halt. */
  | { readonly ok: false; readonly code: 'reverted' | 'halted'; readonly output: Hex; readonly reason: string; readonly gasUsed: bigint }
  /** It could not be run at all. */
  | { readonly ok: false; readonly code: 'insufficientFunds' | 'gasTooLow' | 'feeTooLow'; readonly reason: string }

/** A transaction or call under a tracer; of a native transaction, a deposit or a report, the call of a door that it is shown as. */
export type TracedCall = {
  readonly from: Hex
  readonly to: Hex | undefined
  readonly valueWei: bigint
  readonly gas: bigint
  readonly input: Uint8Array
}

/** What became of it. */
export type TracedReceipt = Pick<Receipt, 'succeeded' | 'gasUsed' | 'logs' | 'failureCode'>

/** EVM state as it is at the moment. */
export type LiveState = {
  account(address: Hex): { readonly balance: bigint; readonly nonce: bigint; readonly code: Uint8Array }
  /** 32 bytes. */
  slot(address: Hex, slot: Hex): Hex
}

/** Where a tracer begins. */
export type TracedBeginning = {
  readonly call: TracedCall
  /** Accounts that it changes whatever it does, besides its sender and recipient. */
  readonly touched: readonly Hex[]
  /** Logs of the block's transactions before it. */
  readonly logsBefore: number
  readonly state: LiveState
}

/** Watches one transaction or call. What it throws ends the trace. */
export type Tracer = Watcher & {
  /** Before anything of it has happened. */
  begin?(at: TracedBeginning): void
  finish?(at: { readonly call: TracedCall; readonly receipt: TracedReceipt; readonly state: LiveState }): void
  /** What it made of what it saw; asked once, at the end. */
  result(): Json
}

/** Members of a block as they shall look to one call. */
export type BlockOverrides = {
  readonly number?: bigint | undefined
  readonly time?: bigint | undefined
  readonly gasLimit?: bigint | undefined
  readonly feeRecipient?: Hex | undefined
  readonly prevRandao?: Hex | undefined
  readonly baseFeePerGas?: bigint | undefined
}

/** How a call is to be run, beyond what it is. */
export type CallOptions = {
  readonly state?: StateOverrides | undefined
  readonly block?: BlockOverrides | undefined
  readonly tracer?: Tracer | undefined
}

/** A call of a simulated block. */
export type SimulatedRequest = CallRequest & { readonly nonce?: bigint | undefined }

/** Blocks to simulate, one on another. Source: execution-apis, eth_simulateV1. */
export type SimulateRequest = {
  readonly blocks: readonly {
    readonly block?: BlockOverrides | undefined
    readonly state?: StateOverrides | undefined
    readonly calls: readonly SimulatedRequest[]
  }[]
  /** Transfers of value are shown as logs of 0xeee…e. */
  readonly traceTransfers: boolean
  /** Nonces and fees must be as in a real block; senders may be contracts, and nothing is signed. */
  readonly validation: boolean
}

/** A block that was simulated, and what its calls answered. */
export type SimulatedBlock = {
  readonly at: ChainBlock
  readonly calls: readonly {
    readonly output: Hex
    /** Undefined: it succeeded; else the EVM's word for what happened. */
    readonly exception: string | undefined
    readonly gasUsed: bigint
    /** Before refunds. */
    readonly gasMax: bigint
  }[]
}

/** Why blocks could not be simulated: a call could be in no block, or the blocks do not follow one another. */
export type SimulateRefusal = { readonly ok: false; readonly code: string; readonly message: string }

/** State at one block. Throws `StateUnavailable` if the node no longer has it. */
export type StateAt = {
  account(address: Hex): Promise<{ readonly balance: bigint; readonly nonce: bigint; readonly codeHash: Hex; readonly storageRoot: Hex }>
  code(address: Hex): Promise<Hex>
  /** The slot's value, 32 bytes. */
  storage(address: Hex, slot: Hex): Promise<Hex>
  /** Merkle proofs in the form of EIP-1186; values have 32 bytes, as those of `storage`. */
  proof(
    address: Hex,
    slots: readonly Hex[],
  ): Promise<{
    readonly accountProof: readonly Hex[]
    readonly storageProof: readonly { readonly key: Hex; readonly value: Hex; readonly proof: readonly Hex[] }[]
  }>
  call(request: CallRequest, options?: CallOptions): Promise<CallResult>
  /** Blocks on top of this one, of these calls. */
  simulate(request: SimulateRequest): Promise<{ readonly ok: true; readonly blocks: readonly SimulatedBlock[] } | SimulateRefusal>
  /** Accounts and slots that the call touches, without those that are warm anyway, and the gas that it takes with them as its access list (EIP-2930). */
  accessList(request: CallRequest, overrides?: StateOverrides): Promise<AccessListed>
  /** Smallest gas limit with which the call succeeds, or why it never does. */
  estimateGas(
    request: CallRequest,
    overrides?: StateOverrides,
  ): Promise<{ readonly ok: true; readonly gas: bigint } | Exclude<CallResult, { ok: true }>>
  /** A record's packed bytes, by table number and packed id (execution/ledger/tables.ts). */
  ledgerRecord(table: number, id: Uint8Array): Uint8Array | undefined
  ledgerProof(table: number, id: Uint8Array): LedgerProof
  ledgerRoot(): Hex
}

/** Where settlement stands. Heights are L2's unless the name says L1. */
export type SyncStatus = {
  readonly heads: Heads
  /** Height of the newest block that a peer or L1 told of. Undefined: nothing beyond `latest` is known. */
  readonly highestBlock?: bigint | undefined
  readonly l1Head: { readonly number: bigint; readonly hash: Hex } | undefined
  /** Where L1 can be asked, if the operator lets clients know: a devnet does. */
  readonly l1Url?: string | undefined
  readonly l1Origin: { readonly number: bigint; readonly hash: Hex }
  readonly batches: { readonly posted: number; readonly postedBytes: number; readonly nextBlock: bigint }
  readonly checkpoints: number
  readonly validators: number
  /** Peers that the node talks to. Undefined: it talks to none. */
  readonly peers?: number | undefined
}

/** Where a transaction of a committed block stands. */
export type TransactionPlace = { readonly blockNumber: bigint; readonly index: number }

/** An index of which transactions touch which addresses. It is made behind the head. */
export type AddressHistory = {
  /** Last block that it has. */
  reached(): bigint
  /** Resolves when it has the block, or after so many milliseconds: whether it has it. */
  until(number: bigint, waitMs: number): Promise<boolean>
  /**
   * Transactions that touch the address in blocks beyond `from`, of whole blocks, until there are `count` of them: the nearest first, and of one
   * block the highest first if they are looked for below. `more`: there are others behind them.
   */
  touching(
    address: Hex,
    range: { readonly from: bigint; readonly direction: 'below' | 'above'; readonly count: number },
  ): Promise<{ readonly places: readonly TransactionPlace[]; readonly more: boolean }>
  /** The sender's transaction with this nonce; nonces of the native lane count apart. */
  sent(lane: 'ethereum' | 'native', sender: Hex, nonce: bigint): Promise<TransactionPlace | undefined>
  /** The last creation of a contract at the address, and in whose name it ran. */
  creation(contract: Hex): Promise<(TransactionPlace & { readonly maker: Hex }) | undefined>
}

export type Chain = {
  readonly params: ChainParams
  readonly genesisHash: Hex
  /** Where the network's contracts are on L1. */
  readonly l1: Omit<GenesisL1, 'origin'>
  readonly clientVersion: string
  /** When the chain began. */
  readonly genesisSec: number
  /** The first validators, in the ledger's form. */
  readonly genesisValidators: readonly Validator[]
  heads(): Heads
  /** Undefined: no such block. */
  blockByNumber(number: bigint): ChainBlock | undefined
  blockByHash(hash: Hex): ChainBlock | undefined
  /** Height of a committed block. */
  numberOf(hash: Hex): bigint | undefined
  /** What of a block a query for logs needs; its transactions stay as they are. */
  blockLogs(number: bigint): BlockLogs | undefined
  /** A transaction of a committed block, without the rest of the block. */
  transaction(hash: Hex): PlacedTransaction | undefined
  transactionAt(number: bigint, index: number): PlacedTransaction | undefined
  /** Undefined: this node keeps none. */
  readonly addresses: AddressHistory | undefined
  stateAt(number: bigint): StateAt
  /** The ledger account that got this index, at the head; undefined: none was given out. */
  accountAt(index: number): Hex | undefined
  /**
   * Executes a block's transactions again on its parent's state, up to the one of index `last`, those with a tracer under it. Throws `StateUnavailable`,
   * and what tracers throw.
   */
  trace(number: bigint, tracerOf: (index: number) => Tracer | undefined, last?: number): Promise<void>
  /** Takes a transaction into the pool. */
  submit(raw: Uint8Array): Promise<{ readonly ok: true; readonly hash: Hex } | Rejection>
  /** A transaction that waits in the pool. */
  pendingTransaction(hash: Hex): Tx | undefined
  /** Next nonce of an EVM account with what waits in the pool counted. */
  pendingNonce(address: Hex): bigint
  /** Next nonce of a ledger account with what waits in the pool counted. */
  pendingLedgerNonce(address: Hex): bigint
  poolStatus(): { readonly pending: number; readonly queued: number }
  /** Waiting transactions of one sender, or all of them, and whether each can run now. */
  poolContent(sender?: Hex): readonly { readonly tx: Tx; readonly runs: boolean }[]
  /** Calls back after each committed block, and for each transaction that enters the pool. Returns what ends it. */
  subscribe(listener: { onBlock?(block: ChainBlock): void; onPending?(hash: Hex): void }): () => void
  syncStatus(): SyncStatus
  /** Block numbers within [from, to] that may have such logs, in order; the caller bounds the range. */
  blocksMatching(filter: {
    readonly from: bigint
    readonly to: bigint
    readonly addresses: readonly Hex[]
    readonly topics: readonly (readonly Hex[])[]
  }): readonly bigint[]
}

/** The node no longer keeps the state of that block. */
export class StateUnavailable extends Error {
  override readonly name = 'StateUnavailable'
  readonly retryable = false
}

/** The node has more to do than it can: it may be asked again. */
export class TooBusy extends Error {
  override readonly name = 'TooBusy'
  readonly retryable = true
}
