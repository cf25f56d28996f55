/**
 * The way of a batch to L1, killed at every step by chance of a seed: before and after it is signed, kept, sent, taken for mined and forgotten, by an L1 that
 * loses what is sent, mines it unseen, and goes back. Whatever happens, L1 has each block once and in order, and in the end all of them.
 */
import fc from 'fast-check'
import { decodeFunctionData, type Hex, keccak256, zeroHash } from 'viem'
import { expect, test } from 'vitest'
import { batchInboxAbi } from '../../settlement/abi.ts'
import { type BatchHeader, batchAccumulator, callDataHash, encodePostBatch } from '../../settlement/inbox.ts'
import { L1Error } from '../../settlement/l1Error.ts'
import { parseTx } from '../../settlement/l1Tx.ts'
import { createTxManager, type L1TxPort, type PendingTx, type PendingTxStore } from '../../settlement/txManager.ts'
import { ANVIL_ACCOUNTS } from '../fakes/anvil.ts'
import { createRandom, type Random } from '../sim/random.ts'

const [, POSTER] = ANVIL_ACCOUNTS
const CERTIFICATE = { round: 0, bitmap: '0x01', signature: `0x${'00'.repeat(256)}` } as const
const BLOCKS = 6n
const TURNS_MAX = 400

class Killed extends Error {}

type Inbox = { readonly accumulator: Hex; readonly count: bigint; readonly lastBlock: bigint }
type Block = {
  readonly included: readonly { readonly hash: Hex; readonly succeeded: boolean }[]
  readonly inbox: Inbox
  readonly nonce: bigint
}

/** An L1 with one account and the inbox, whose blocks come and go by chance. */
function createModelL1(random: Random) {
  const first: Block = { included: [], inbox: { accumulator: zeroHash, count: 0n, lastBlock: 0n }, nonce: 0n }
  const chain: Block[] = [first]
  const pool = new Map<bigint, Hex>()
  const head = () => chain.at(-1) ?? first

  /** What the contract does with a batch. */
  function post(inbox: Inbox, data: Hex): Inbox | undefined {
    const call = decodeFunctionData({ abi: batchInboxAbi, data })
    if (call.functionName !== 'postBatch') return undefined
    const [header, payload, , next, count] = call.args
    const follows = header.prevAccumulator === inbox.accumulator && header.firstBlock === inbox.lastBlock + 1n
    if (!follows || next !== inbox.count || count !== inbox.count) return undefined
    const dataHash = callDataHash(Buffer.from(payload.slice(2), 'hex'))
    return { accumulator: batchAccumulator({ index: inbox.count, header, dataHash }), count: inbox.count + 1n, lastBlock: header.lastBlock }
  }

  function mine(): void {
    let { inbox, nonce } = head()
    const included: { hash: Hex; succeeded: boolean }[] = []
    for (let raw = pool.get(nonce); raw; raw = pool.get(nonce)) {
      const after = post(inbox, parseTx(raw).data)
      included.push({ hash: keccak256(raw), succeeded: after !== undefined })
      pool.delete(nonce)
      inbox = after ?? inbox
      nonce++
    }
    chain.push({ included, inbox, nonce })
  }

  const port: L1TxPort = {
    nonce: async () => head().nonce,
    fees: async () => ({ baseFeeWei: 10n, tipWei: 2n, blobBaseFeeWei: 1n }),
    estimateGas: async ({ data }) => (post(head().inbox, data) ? { ok: true, gas: 40_000n } : { ok: false, reason: 'Outrun' }),
    send: async (raw) => {
      const { nonce } = parseTx(raw)
      if (nonce < head().nonce) return { ok: false, code: 'nonceTooLow', reason: 'nonce too low' }
      if (random() < 0.8) pool.set(nonce, raw) // else it is lost on its way
      return { ok: true }
    },
    inclusion: async (hash) => {
      const at = chain.findIndex(({ included }) => included.some((one) => one.hash === hash))
      const found = chain[at]?.included.find((one) => one.hash === hash)
      const l1Block = { number: BigInt(at), hash: zeroHash }
      return found && { l1Block, succeeded: found.succeeded, confirmations: BigInt(chain.length - at) }
    },
  }
  return {
    port,
    inbox: () => head().inbox,
    /** What happens while somebody waits. */
    pass() {
      const chance = random()
      if (chance < 0.5) mine()
      else if (chance < 0.6 && chain.length > 1) chain.pop() // what was in it is gone
    },
  }
}

/** Kills whoever calls, before or after, by chance. */
function mortal<T extends object>(random: Random, port: T, share: number): T {
  const wrap =
    (call: (...args: unknown[]) => Promise<unknown>) =>
    async (...args: unknown[]) => {
      if (random() < share) throw random() < 0.7 ? new Killed() : new L1Error('L1 does not answer', { kind: 'retry' })
      const result = await call(...args)
      if (random() < share) throw new Killed()
      return result
    }
  return Object.fromEntries(Object.entries(port).map(([name, call]) => [name, typeof call === 'function' ? wrap(call) : call])) as T
}

async function play(seed: number): Promise<void> {
  const random = createRandom(seed)
  const l1 = createModelL1(random)
  let kept: PendingTx | undefined
  const disk: PendingTxStore = {
    load: async () => kept,
    save: async (pending) => {
      kept = pending
    },
    clear: async () => {
      kept = undefined
    },
  }
  let nowMs = 0
  const clock = {
    nowMs: () => nowMs,
    sleep: async (ms: number) => {
      nowMs += ms
      l1.pass()
    },
  }
  const options = { kind: 'ordinary', chainId: 1, maxFeeLimitWei: 10n ** 15n, maxBlobFeeLimitWei: 1n, confirmations: 1n } as const
  const times = { pollMs: 10, resubmitMs: 50, waitMs: 200 }
  for (let turn = 0; turn < TURNS_MAX && l1.inbox().lastBlock < BLOCKS; turn++) {
    const share = turn < TURNS_MAX / 2 ? 0.05 : 0
    const signer = mortal(random, POSTER, share)
    const manager = createTxManager(
      { l1: mortal(random, l1.port, share), store: mortal(random, disk, share), clock },
      { ...options, ...times, signer: { address: POSTER.address, sign: signer.sign } },
    )
    try {
      const left = await manager.resume()
      if ((left && !left.ok && left.code === 'pending') || l1.inbox().lastBlock === BLOCKS) continue
      await manager.send({ to: ANVIL_ACCOUNTS[0].address, data: nextBatch(l1.inbox()) })
    } catch (error) {
      if (!(error instanceof Killed || error instanceof L1Error)) throw error
      l1.pass()
    }
  }
  // The contract of the model takes each block once, in order, and so all that is to be seen is that none is lost.
  expect({ seed, lastBlock: l1.inbox().lastBlock }).toEqual({ seed, lastBlock: BLOCKS })
  expect(l1.inbox().count).toBe(BLOCKS)
}

function nextBatch({ accumulator, count, lastBlock }: Inbox): Hex {
  const block = lastBlock + 1n
  const place = { prevAccumulator: accumulator, firstBlock: block, lastBlock: block, lastBlockHash: zeroHash }
  const header: BatchHeader = { ...place, l1OriginNumber: 0n, l1OriginHash: zeroHash, payloadBytes: 1 }
  return encodePostBatch(header, { certificate: CERTIFICATE, next: count, count, payload: Uint8Array.of(Number(block)) })
}

test('killed at any step, on an L1 that loses and goes back: every block is posted, and none twice', () =>
  fc.assert(fc.asyncProperty(fc.nat(), play), { numRuns: 60 }))
