/** A JSON-RPC client as lean as a load needs: keep-alive sockets, arrays of calls, answers in the order of the questions. */
import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { bytesToHex, type Hex } from 'viem'
import { keccak256 } from '../../execution/keccak.ts'
import type { Ground } from './stage.ts'

/** Longest that one request may take. */
const REQUEST_MAX_MS = 60_000
/** Longest that transactions may take to be included. */
const INCLUSION_MAX_MS = 120_000

export type Call = readonly [method: string, params: readonly unknown[]]

export type JsonRpc = {
  call<T>(method: string, params?: readonly unknown[]): Promise<T>
  /** Throws if one of them was refused. */
  batch<T>(calls: readonly Call[]): Promise<T[]>
  close(): void
}

type Answer = { readonly id: number; readonly result?: unknown; readonly error?: { readonly message: string } }

/** Posts bodies as they are. */
export type Poster = { post(body: string | Buffer): Promise<string>; close(): void }

/** A poster with this many keep-alive sockets. */
export function createPoster(url: string, sockets: number): Poster {
  const agent = new Agent({ keepAlive: true, maxSockets: sockets })
  return {
    post: (body) =>
      new Promise((resolve, reject) => {
        const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
        const sent = request(url, { agent, method: 'POST', headers, timeout: REQUEST_MAX_MS }, (answer) => {
          const parts: Buffer[] = []
          answer.on('data', (part: Buffer) => parts.push(part))
          answer.on('end', () => resolve(Buffer.concat(parts).toString('utf8')))
          answer.on('error', reject)
        })
        sent.on('timeout', () => sent.destroy(new Error(`no answer in ${REQUEST_MAX_MS / 1_000} s`)))
        sent.on('error', reject)
        sent.end(body)
      }),
    close: () => agent.destroy(),
  }
}

/** A client with this many sockets. */
export function createJsonRpc(url: string, sockets: number): JsonRpc {
  const { post, close } = createPoster(url, sockets)
  const batch = async <T>(calls: readonly Call[]): Promise<T[]> => {
    if (calls.length === 0) return []
    const asked = calls.map(([method, params], id) => ({ jsonrpc: '2.0', id, method, params }))
    const text = await post(JSON.stringify(asked))
    const answers: unknown = JSON.parse(text)
    if (!Array.isArray(answers)) throw new Error(`the array was refused: ${text.slice(0, 200)}`)
    const byId = new Map((answers as Answer[]).map((answer) => [answer.id, answer]))
    return calls.map(([method], id) => {
      const answer = byId.get(id)
      if (!answer || answer.error) throw new Error(`${method}: ${answer?.error?.message ?? 'no answer'}`)
      return answer.result as T
    })
  }
  return {
    batch,
    async call<T>(method: string, params: readonly unknown[] = []) {
      const [result] = await batch<T>([[method, params]])
      return result as T
    },
    close,
  }
}

/** Pieces of at most `size` items. */
export function chunks<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size))
}

/** Sends transactions and waits until all are included. Throws if one is refused or fails. */
export async function includeAll(rpc: JsonRpc, raws: readonly Uint8Array[]): Promise<void> {
  const until = Date.now() + INCLUSION_MAX_MS
  let waiting: Hex[] = []
  for (const part of chunks(raws, 50)) {
    await rpc.batch(part.map((raw): Call => ['eth_sendRawTransaction', [bytesToHex(raw)]]))
    waiting.push(...part.map((raw) => bytesToHex(keccak256(raw))))
  }
  while (waiting.length > 0) {
    if (Date.now() > until) throw new Error(`${waiting.length} transactions are not included after ${INCLUSION_MAX_MS / 1_000} s`)
    // One that is not there yet is asked for again; those behind it wait without being asked for.
    const [first = '0x'] = waiting
    const [receipt] = await rpc.batch<{ status: Hex } | null>([['eth_getTransactionReceipt', [first]]])
    if (!receipt) {
      await sleep(50)
      continue
    }
    const part = waiting.slice(0, 50)
    const receipts = await rpc.batch<{ status: Hex } | null>(part.map((hash): Call => ['eth_getTransactionReceipt', [hash]]))
    if (receipts.some((one) => one && one.status !== '0x1')) throw new Error('a transaction failed')
    waiting = waiting.filter((_, i) => i >= part.length || !receipts[i])
  }
}

/** A node of ours as ground for a stage. */
export async function rpcGround(rpc: JsonRpc): Promise<Ground> {
  return {
    chainId: Number(await rpc.call<Hex>('eth_chainId')),
    nonceOf: async (address) => BigInt(await rpc.call<Hex>('tributary_getLedgerNonce', [address, 'latest'])),
    lastDatanetId: async () => Number((await rpc.call<{ datanets: number | Hex }>('tributary_getCounters')).datanets),
    include: (raws) => includeAll(rpc, raws),
  }
}
