/**
 * A load on a node: transactions signed ahead, put into request bodies ahead, in arrays of 50 on each of 4 keep-alive connections, the next array
 * when the last is answered. A sender keeps to one connection and its nonces come in order, so that no node sees a gap. What is mined is read off
 * the blocks' transaction counts, and at the end off every sender's nonce; receipts are asked for when a block has come, for some transactions.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { bytesToHex, type Hex, toHex } from 'viem'
import { keccak256 } from '../../execution/keccak.ts'
import { type Call, chunks, createJsonRpc, createPoster, type JsonRpc } from './jsonRpc.ts'
import { cpuMsOf, memoryMiBOf } from './measure.ts'

const CONNECTIONS = 4
const CALLS_AN_ARRAY = 50
const POLL_MS = 20
/** Times to receipt at light load are small: they are asked for this often. */
const LIGHT_POLL_MS = 5
/** Longest that a run may take. */
const RUN_MAX_MS = 300_000
/** Transactions of a load whose time to receipt is taken. */
const SAMPLES = 200

/** Where a load goes. */
export type Endpoint = {
  readonly url: string
  readonly pid: number | undefined
  /** The method by which the node tells an account's nonce in the transactions' lane. */
  readonly nonceMethod: 'tributary_getLedgerNonce' | 'eth_getTransactionCount'
}

/** Transactions that are ready to be sent. */
export type Load = {
  readonly count: number
  readonly senders: readonly Hex[]
  /** Request bodies of each connection, with the numbers of the transactions in them. */
  readonly lanes: readonly (readonly { readonly body: Buffer; readonly numbers: readonly number[] }[])[]
  /** Hashes of the transactions whose time to receipt is taken, by their numbers. */
  readonly samples: ReadonlyMap<number, Hex>
}

/** How far a load was when a block came: transactions mined, and what the node had used by then. */
export type Step = {
  readonly ms: number
  readonly mined: number
  readonly cpuMs: number | undefined
  readonly memoryMiB: number | undefined
}

export type LoadResult = {
  readonly ops: number
  /** From the first byte to the block that has the last transaction. */
  readonly wallMs: number
  /** Until every array was answered: from then on nothing was sent. */
  readonly sentMs: number
  /** CPU of the node's process, all its threads; undefined where the system does not say. */
  readonly cpuMs: number | undefined
  /** CPU of this process meanwhile. */
  readonly clientCpuMs: number
  /** Times from sending to the first poll that saw the receipt. */
  readonly receiptMs: readonly number[]
  readonly steps: readonly Step[]
}

/** A signed transaction, and the number of its sender: those of one sender stand in the order of their nonces. */
export type Signed = { readonly raw: Uint8Array; readonly sender: number }

/** Puts transactions into request bodies. */
export function prepareLoad(signed: readonly Signed[], senders: readonly Hex[]): Load {
  const lanes = Array.from({ length: CONNECTIONS }, (_, lane) => {
    const numbers = signed.flatMap(({ sender }, i) => (sender % CONNECTIONS === lane ? [i] : []))
    return chunks(numbers, CALLS_AN_ARRAY).map((part) => ({ numbers: part, body: Buffer.from(`[${part.map(callOf).join(',')}]`) }))
  })
  function callOf(i: number): string {
    const raw = Buffer.from(signed[i]?.raw ?? []).toString('hex')
    return `{"jsonrpc":"2.0","id":${i},"method":"eth_sendRawTransaction","params":["0x${raw}"]}`
  }
  const step = Math.max(1, Math.floor(signed.length / SAMPLES))
  const sampled = signed.flatMap(({ raw }, i) => ((signed.length - 1 - i) % step === 0 ? [[i, bytesToHex(keccak256(raw))] as const] : []))
  return { count: signed.length, senders, lanes, samples: new Map(sampled) }
}

/** Runs the load. Throws if a transaction is refused or fails. */
export async function runLoad({ url, pid, nonceMethod }: Endpoint, load: Load): Promise<LoadResult> {
  const posters = load.lanes.map(() => createPoster(url, 1))
  const probe = createJsonRpc(url, 1)
  const receipts = createWatch(probe, load.samples)
  const { count, senders } = load
  let failure: unknown
  let sentMs = 0
  try {
    const nonceBefore = await noncesOf(probe, senders, nonceMethod)
    const blocks = await createBlockCount(probe)
    const clientBefore = process.cpuUsage()
    const cpuBefore = pid === undefined ? undefined : cpuMsOf(pid)
    const start = performance.now()
    const usage = () => {
      const cpuNow = pid === undefined ? undefined : cpuMsOf(pid)
      const cpuMs = cpuBefore === undefined || cpuNow === undefined ? undefined : cpuNow - cpuBefore
      return { ms: performance.now() - start, cpuMs, memoryMiB: pid === undefined ? undefined : memoryMiBOf(pid) }
    }
    const sending = Promise.all(
      load.lanes.map(async (bodies, lane) => {
        for (const { body, numbers } of bodies) {
          receipts.sent(numbers)
          const answer = await posters[lane]?.post(body)
          if (answer === undefined || answer.includes('"error"')) throw new Error(`refused: ${answer?.slice(0, 300)}`)
        }
      }),
    ).then(
      () => {
        sentMs = performance.now() - start
      },
      (error: unknown) => {
        failure = error
      },
    )
    const steps: Step[] = [{ mined: 0, ...usage() }]
    let wallMs: number | undefined
    while (wallMs === undefined || !receipts.areAll()) {
      if (failure !== undefined) throw failure
      if (performance.now() - start > RUN_MAX_MS) throw new Error(`not all is mined after ${RUN_MAX_MS / 1_000} s`)
      const hasNew = await blocks.look()
      if (hasNew) steps.push({ mined: Math.min(count, blocks.mined()), ...usage() })
      // Deposits count in blocks, too: the nonces say what is mined for sure.
      if (hasNew && wallMs === undefined && blocks.mined() >= count) {
        const { ms } = usage()
        if ((await noncesOf(probe, senders, nonceMethod)) - nonceBefore >= count) wallMs = ms
      }
      if (hasNew || wallMs !== undefined) await receipts.look()
      await sleep(POLL_MS)
    }
    await sending
    const { cpuMs } = usage()
    const client = process.cpuUsage(clientBefore)
    const clientCpuMs = (client.user + client.system) / 1_000
    return { ops: count, wallMs, sentMs, cpuMs, clientCpuMs, receiptMs: receipts.times, steps }
  } finally {
    for (const one of [...posters, probe]) one.close()
  }
}

/** Sends a load at so many transactions a second, in arrays of 50, whatever is mined of it meanwhile. */
export async function runPaced({ url }: Endpoint, load: Load, perSec: number): Promise<void> {
  const posters = load.lanes.map(() => createPoster(url, 1))
  const start = performance.now()
  try {
    await Promise.all(
      load.lanes.map(async (bodies, lane) => {
        for (const [i, { body }] of bodies.entries()) {
          const dueMs = ((i * load.lanes.length + lane) * CALLS_AN_ARRAY * 1_000) / perSec
          await sleep(Math.max(0, start + dueMs - performance.now()))
          const answer = await posters[lane]?.post(body)
          if (answer === undefined || answer.includes('"error"')) throw new Error(`refused: ${answer?.slice(0, 300)}`)
        }
      }),
    )
  } finally {
    for (const one of posters) one.close()
  }
}

/** Sends so many transactions a second, each on its own, and answers the times to their receipts. */
export async function runLight({ url }: Endpoint, raws: readonly Uint8Array[], perSec: number): Promise<number[]> {
  const rpc = createJsonRpc(url, 8)
  const times: number[] = []
  const one = async (raw: Uint8Array, number: number) => {
    await sleep((number * 1_000) / perSec)
    const start = performance.now()
    const hash = await rpc.call<Hex>('eth_sendRawTransaction', [bytesToHex(raw)])
    for (;;) {
      const receipt = await rpc.call<{ status: Hex } | null>('eth_getTransactionReceipt', [hash])
      if (receipt && receipt.status !== '0x1') throw new Error('a transaction failed')
      if (receipt) break
      if (performance.now() - start > RUN_MAX_MS) throw new Error(`no receipt after ${RUN_MAX_MS / 1_000} s`)
      await sleep(LIGHT_POLL_MS)
    }
    times.push(performance.now() - start)
  }
  try {
    await Promise.all(raws.map(one))
    return times
  } finally {
    rpc.close()
  }
}

/** Sends a load without waiting for its blocks, until the node is gone; answers the hashes that had a receipt by then. */
export async function sendUntilGone({ url }: Endpoint, load: Load, kill: () => Promise<void>): Promise<Hex[]> {
  const posters = load.lanes.map(() => createPoster(url, 1))
  const probe = createJsonRpc(url, 1)
  const acknowledged: Hex[] = []
  const open = new Set(load.samples.values())
  const wanted = open.size / 2
  let isGone = false
  const sending = load.lanes.map(async (bodies, lane) => {
    for (const { body } of bodies) if (!isGone) await posters[lane]?.post(body).catch(() => undefined) // the node dies under it
  })
  const until = performance.now() + RUN_MAX_MS
  // Killed as soon as half of them are acknowledged: the rest is in the pool, in a block that is built, or being written.
  while (acknowledged.length < wanted) {
    if (performance.now() > until) throw new Error('too few receipts came')
    for (const part of chunks([...open], CALLS_AN_ARRAY)) {
      const receipts = await probe.batch<object | null>(part.map((hash): Call => ['eth_getTransactionReceipt', [hash]]))
      for (const [i, hash] of part.entries()) if (receipts[i] && open.delete(hash)) acknowledged.push(hash)
    }
    await sleep(POLL_MS)
  }
  await kill()
  isGone = true
  for (const one of [...posters, probe]) one.close()
  await Promise.all(sending)
  return acknowledged
}

/** Counts the transactions of the blocks that come from now on. */
async function createBlockCount(probe: JsonRpc) {
  let head = Number(await probe.call<Hex>('eth_blockNumber'))
  let mined = 0
  return {
    mined: () => mined,
    /** Whether there is a new block. */
    async look(): Promise<boolean> {
      const now = Number(await probe.call<Hex>('eth_blockNumber'))
      if (now === head) return false
      const numbers = Array.from({ length: now - head }, (_, i) => toHex(head + 1 + i))
      const counts = await probe.batch<Hex>(numbers.map((number): Call => ['eth_getBlockTransactionCountByNumber', [number]]))
      head = now
      mined += counts.reduce((sum, one) => sum + Number(one), 0)
      return true
    },
  }
}

/** Watches some of the transactions: `look` asks for the receipts that are missing. */
function createWatch(probe: JsonRpc, hashes: ReadonlyMap<number, Hex>) {
  const sentAt = new Map<number, number>()
  const times: number[] = []
  return {
    times,
    areAll: () => times.length === hashes.size,
    sent(numbers: readonly number[]) {
      const now = performance.now()
      for (const i of numbers) if (hashes.has(i)) sentAt.set(i, now)
    },
    async look(): Promise<void> {
      for (const part of chunks([...sentAt], CALLS_AN_ARRAY)) {
        const asked = part.map(([i]): Call => ['eth_getTransactionReceipt', [hashes.get(i)]])
        const receipts = await probe.batch<{ status: Hex } | null>(asked)
        const now = performance.now()
        for (const [n, [i, at]] of part.entries()) {
          const receipt = receipts[n]
          if (!receipt) continue
          if (receipt.status !== '0x1') throw new Error(`transaction ${i} failed`)
          times.push(now - at)
          sentAt.delete(i)
        }
      }
    },
  }
}

/** Sum of the senders' nonces. */
async function noncesOf(rpc: JsonRpc, senders: readonly Hex[], nonceMethod: Endpoint['nonceMethod']): Promise<number> {
  const nonces: Hex[] = []
  for (const part of chunks(senders, 64))
    nonces.push(...(await rpc.batch<Hex>(part.map((address): Call => [nonceMethod, [address, 'latest']]))))
  return nonces.reduce((sum, nonce) => sum + Number(nonce), 0)
}
