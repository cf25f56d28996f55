/**
 * A load on a node: transactions signed ahead, in arrays of 50 on each of 4 connections, the next array when the last is answered. A sender keeps
 * to one connection and its nonces come in order, so that no node sees a gap. The run ends when every sender's nonce says that all is mined.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { bytesToHex, type Hex } from 'viem'
import { keccak256 } from '../../execution/keccak.ts'
import { type Call, chunks, createJsonRpc, type JsonRpc } from './jsonRpc.ts'
import { cpuMsOf } from './measure.ts'

const CONNECTIONS = 4
const CALLS_AN_ARRAY = 50
const POLL_MS = 20
/** Longest that a run may take. */
const RUN_MAX_MS = 120_000

export type LoadOptions = {
  readonly url: string
  readonly pid: number | undefined
  /** Transaction `i` is sender `i % senders.length`'s, in the order of their nonces. */
  readonly raws: readonly Uint8Array[]
  readonly senders: readonly Hex[]
  /** The method by which the node tells an account's nonce in the transactions' lane. */
  readonly nonceMethod: 'tributary_getLedgerNonce' | 'eth_getTransactionCount'
  /** Transactions whose time to receipt is taken. */
  readonly samples: number
}

export type LoadResult = {
  readonly ops: number
  readonly wallMs: number
  /** CPU of the node's process, all its threads; undefined where the system does not say. */
  readonly cpuMs: number | undefined
  /** Times from sending to the first poll that saw the receipt. */
  readonly receiptMs: readonly number[]
}

/** Runs the load. Throws if a transaction is refused or fails. */
export async function runLoad({ url, pid, raws, senders, nonceMethod, samples }: LoadOptions): Promise<LoadResult> {
  const lanes = Array.from({ length: CONNECTIONS }, () => createJsonRpc(url, 1))
  const probe = createJsonRpc(url, 1)
  const hex = raws.map((raw) => bytesToHex(raw))
  const watch = createWatch(probe, raws, samples)
  const until = performance.now() + RUN_MAX_MS
  let failure: unknown
  const poll = async (isOver: () => Promise<boolean>) => {
    while (!(await isOver())) {
      if (failure !== undefined) throw failure
      if (performance.now() > until) throw new Error(`not all is mined after ${RUN_MAX_MS / 1_000} s`)
      await sleep(POLL_MS)
    }
  }
  try {
    const nonceBefore = await noncesOf(probe, senders, nonceMethod)
    const cpuBefore = pid === undefined ? undefined : cpuMsOf(pid)
    const start = performance.now()
    const send = async (rpc: JsonRpc, lane: number) => {
      const own = hex.flatMap((_, i) => ((i % senders.length) % CONNECTIONS === lane ? [i] : []))
      for (const part of chunks(own, CALLS_AN_ARRAY)) {
        watch.sent(part)
        await rpc.batch(part.map((i): Call => ['eth_sendRawTransaction', [hex[i]]]))
      }
    }
    const sending = Promise.all(lanes.map(send)).catch((error: unknown) => {
      failure = error
    })
    await poll(watch.look)
    await sending
    await poll(async () => (await noncesOf(probe, senders, nonceMethod)) - nonceBefore >= raws.length)
    const cpuAfter = pid === undefined ? undefined : cpuMsOf(pid)
    const cpuMs = cpuBefore === undefined || cpuAfter === undefined ? undefined : cpuAfter - cpuBefore
    return { ops: raws.length, wallMs: performance.now() - start, cpuMs, receiptMs: watch.receiptMs }
  } finally {
    for (const rpc of [...lanes, probe]) rpc.close()
  }
}

/** Watches some of the transactions: `look` asks for the receipts that are missing and says whether all are there. */
function createWatch(probe: JsonRpc, raws: readonly Uint8Array[], samples: number) {
  const hashes = new Map(sampled(raws.length, samples).map((i) => [i, bytesToHex(keccak256(raws[i] ?? new Uint8Array()))]))
  const wanted = hashes.size
  const sentAt = new Map<number, number>()
  const receiptMs: number[] = []
  return {
    receiptMs,
    sent(part: readonly number[]) {
      const now = performance.now()
      for (const i of part) if (hashes.has(i)) sentAt.set(i, now)
    },
    async look(): Promise<boolean> {
      const open = [...sentAt].slice(0, CALLS_AN_ARRAY)
      const receipts = await probe.batch<{ status: Hex } | null>(open.map(([i]): Call => ['eth_getTransactionReceipt', [hashes.get(i)]]))
      const now = performance.now()
      for (const [n, [i, at]] of open.entries()) {
        const receipt = receipts[n]
        if (!receipt) continue
        if (receipt.status !== '0x1') throw new Error(`transaction ${i} failed`)
        receiptMs.push(now - at)
        sentAt.delete(i)
      }
      return receiptMs.length === wanted
    },
  }
}

/** Sum of the senders' nonces. */
async function noncesOf(rpc: JsonRpc, senders: readonly Hex[], nonceMethod: LoadOptions['nonceMethod']): Promise<number> {
  const nonces: Hex[] = []
  for (const part of chunks(senders, 64))
    nonces.push(...(await rpc.batch<Hex>(part.map((address): Call => [nonceMethod, [address, 'latest']]))))
  return nonces.reduce((sum, nonce) => sum + Number(nonce), 0)
}

/** Numbers spread evenly over `count`, the last among them. */
function sampled(count: number, samples: number): number[] {
  const step = Math.max(1, Math.floor(count / samples))
  return Array.from({ length: Math.ceil(count / step) }, (_, n) => count - 1 - n * step)
}
