/**
 * What passes between the thread that serves JSON-RPC (node/rpcWorker.ts) and the main thread (node/rpcThread.ts): lists of messages, one list a turn.
 * Both are this process's own code: what the worker says of a transaction (its hash, its sender) is taken for true. Texts and bytes of clients are in
 * them as they came.
 */
import type { Hex } from 'viem'
import type { Rejection } from '../execution/native/nativeType.ts'
import type { CheckedTx } from '../execution/tx.ts'
import type { CallCount } from '../rpc/callCounts.ts'
import type { Asked } from '../rpc/dispatch.ts'
import type { RpcServerOptions } from '../rpc/server.ts'
import type { LogLevel } from './log.ts'
import type { LoopDelay } from './loopDelay.ts'

/** How the server listens, and its bounds. */
export type ListenOptions = Pick<RpcServerOptions, 'host' | 'port' | 'limits' | 'allowedHosts' | 'allowedOrigins' | 'trustedProxies'>

/** Transactions in one message: their bytes stand one after another in `raws`, whose memory moves to the other thread. */
export type PackedTxs = {
  readonly raws: Uint8Array<ArrayBuffer>
  readonly lengths: readonly number[]
  readonly hashes: readonly Hex[]
  readonly senders: readonly Hex[]
  /** Of those of Ethereum's types. */
  readonly publicKeys: readonly (Uint8Array | undefined)[]
}

export type ToMain =
  | { readonly kind: 'listening'; readonly url: string; readonly wsUrl: string; readonly port: number }
  | { readonly kind: 'deaf'; readonly message: string; readonly code: string | undefined }
  /** Calls for the desk. `connection`: of a WebSocket. */
  | { readonly kind: 'ask'; readonly id: number; readonly connection: number | undefined; readonly asked: Asked }
  | { readonly kind: 'askReady'; readonly id: number }
  | { readonly kind: 'start' | 'drop'; readonly connection: number }
  /** Transactions for the pool. */
  | { readonly kind: 'offer'; readonly id: number; readonly txs: PackedTxs }
  /** So many characters of texts have been taken, `pushed` of them for subscribers. */
  | { readonly kind: 'took'; readonly length: number; readonly pushed: number }
  | { readonly kind: 'log'; readonly level: LogLevel; readonly event: string; readonly facts: Readonly<Record<string, unknown>> }
  | { readonly kind: 'delay'; readonly delay: LoopDelay; readonly calls: readonly CallCount[] }

export type ToWorker =
  | { readonly kind: 'listen'; readonly options: ListenOptions }
  /** Loads what transactions need, now that nothing else waits for the processor. */
  | { readonly kind: 'load' }
  | { readonly kind: 'answer'; readonly id: number; readonly text: string | undefined }
  | { readonly kind: 'ready'; readonly id: number; readonly isReady: boolean }
  | { readonly kind: 'push'; readonly connection: number; readonly text: string }
  /** What was refused, by place; everything else is well. */
  | { readonly kind: 'verdicts'; readonly id: number; readonly refused: readonly (readonly [place: number, rejection: Rejection])[] }
  | { readonly kind: 'close' }

/** What the worker is started with. */
export type RpcWorkerData = { readonly chainId: number; readonly recoverThreads: number }

/** Where messages are gathered, and sent at the end of what this turn of the event loop does. */
export type Outbox<M> = { add(message: M, transfer?: ArrayBuffer): void }

/** An outbox of a port. */
export function createOutbox<M>(port: { postMessage(value: readonly M[], transfers: readonly ArrayBuffer[]): void }): Outbox<M> {
  let messages: M[] = []
  let transfers: ArrayBuffer[] = []
  const flush = () => {
    const [sent, moved] = [messages, transfers]
    messages = []
    transfers = []
    port.postMessage(sent, moved)
  }
  return {
    add(message, transfer) {
      if (messages.length === 0) queueMicrotask(flush)
      messages.push(message)
      if (transfer) transfers.push(transfer)
    },
  }
}

/** Puts transactions into one message. */
export function packTxs(txs: readonly CheckedTx[]): PackedTxs {
  const lengths = txs.map(({ raw }) => raw.length)
  const raws = new Uint8Array(lengths.reduce((sum, length) => sum + length, 0))
  let at = 0
  for (const { raw } of txs) {
    raws.set(raw, at)
    at += raw.length
  }
  return {
    raws,
    lengths,
    hashes: txs.map(({ hash }) => hash),
    senders: txs.map(({ sender }) => sender),
    publicKeys: txs.map(({ publicKey }) => publicKey),
  }
}

/** The transactions of a message, each with bytes of its own: one that waits for long keeps no others in memory. */
export function unpackTxs({ raws, lengths, hashes, senders, publicKeys }: PackedTxs): CheckedTx[] {
  let at = 0
  return lengths.map((length, i) => {
    const raw = raws.slice(at, at + length)
    at += length
    return { raw, hash: hashes[i] ?? '0x', sender: senders[i] ?? '0x', publicKey: publicKeys[i] }
  })
}
