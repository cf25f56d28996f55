/**
 * Follows the chain without a vote: takes blocks that a quorum made final, from gossip or by asking peers, executes them in order and makes them the
 * head. How far the network is, it believes certificates alone. Whether a block's deposits are L1's it does not look at: validators did before they
 * voted, and `tributary verify` can. Spec: docs/spec/p2p.md#followers
 */
import { bytesToHex, type Hex } from 'viem'
import { type Commit, verifyCommit } from '../consensus/certificate.ts'
import { decodeMessage } from '../consensus/message.ts'
import { assert } from '../execution/assert.ts'
import { type Block, decodeBlock, hashHeader } from '../execution/block.ts'
import { orderedRoot } from '../execution/mpt.ts'
import type { BlocksAnswer } from '../p2p/sync.ts'
import { ANSWER_BLOCKS_MAX, type BlocksRequest, type CertifiedBlock } from '../p2p/wire.ts'
import type { ChainState } from './chainState.ts'
import type { EpochSets } from './epochs.ts'
import type { Log } from './log.ts'

/** A block that a quorum made final, with all its bytes; not executed yet. */
export type FinalBlock = {
  readonly number: bigint
  readonly hash: Hex
  readonly block: Block
  /** The certificate, as a message of consensus. */
  readonly commit: Uint8Array
  readonly bytes: number
}

/** Why something is no final block: whoever sent it could have known, but for `unknownEpoch`. */
export type NotFinal = {
  readonly ok: false
  readonly code: 'badCommit' | 'notSigned' | 'unknownEpoch' | 'badBlock' | 'otherBlock' | 'otherHeight' | 'otherTransactions'
}

/** A block that a quorum made final is invalid here: more than a third of the validators, or this node's execution, is faulty. */
export class FollowError extends Error {
  override readonly name = 'FollowError'
  readonly retryable = false
}

export type FollowerOptions = {
  readonly chain: ChainState
  readonly setAt: EpochSets['setAt']
  /** Takes a final block instead of executing it and making it the head here. Resolves when it is the head. */
  adopt?(final: FinalBlock): Promise<void>
  /** Asks some peer for blocks. */
  request(request: BlocksRequest): Promise<BlocksAnswer>
  /** A peer's answer was not true. */
  blame(peer: string, why: string): void
  readonly log: Log
  nowMs(): number
  /** It cannot go on; the process must stop. */
  onFatal(error: unknown): void
}

export type Follower = {
  start(): void
  /** Takes a block that `checkFinal` found good. */
  takeBlock(final: FinalBlock): void
  /** A certificate proves that the network has this height. */
  takeHeight(number: bigint): void
  /** Whether the block of a height is here, or waits for those before it. */
  has(number: bigint): boolean
  /** Somebody to ask has come. */
  askNow(): void
  /** Highest block that a certificate proved. */
  highest(): bigint
  /** Ends after the block under way. */
  stop(): Promise<void>
}

/** Bounds of blocks that wait for those before them. */
const WAITING_BLOCKS_MAX = 64n
const WAITING_BYTES_MAX = 32 << 20
/** Peers are not asked sooner after the last time because somebody speaks of more than is here. */
const ASK_AGAIN_MS = 500
/** Wait before another peer is asked for what is known to exist. */
const RETRY_MS = 250
/** Least silence after which peers are asked whether there is something new. */
const SILENCE_MIN_MS = 2_000

/** The commit that the bytes are if a quorum of its height's set signed it. `unknownEpoch`: nobody can say here yet, and it is not its sender's fault. */
export function checkCommitment(
  commit: Uint8Array,
  setAt: EpochSets['setAt'],
  chainId: number,
): { readonly ok: true; readonly commit: Commit } | NotFinal {
  const decoded = decodeMessage(commit)
  if (!decoded.ok || decoded.value.kind !== 'commit') return { ok: false, code: 'badCommit' }
  const set = setAt(decoded.value.height)
  if (!set) return { ok: false, code: 'unknownEpoch' }
  return verifyCommit(set, decoded.value, chainId).ok ? { ok: true, commit: decoded.value } : { ok: false, code: 'notSigned' }
}

/** The block that the bytes are if a quorum made it final, down to its transactions. What follows from them is for execution to say. */
export function checkFinal(
  certified: CertifiedBlock,
  setAt: EpochSets['setAt'],
  chainId: number,
): { readonly ok: true; readonly final: FinalBlock } | NotFinal {
  const block = decodeBlock(certified.block)
  if (!block) return { ok: false, code: 'badBlock' }
  const hash = hashHeader(block.header)
  const checked = checkCommitment(certified.commit, setAt, chainId)
  if (!checked.ok) return checked
  if (checked.commit.blockHash !== hash) return { ok: false, code: 'otherBlock' }
  if (BigInt(checked.commit.height) !== block.header.number) return { ok: false, code: 'otherHeight' }
  if (bytesToHex(orderedRoot(block.transactions)) !== block.header.transactionsRoot) return { ok: false, code: 'otherTransactions' }
  const { number } = block.header
  return { ok: true, final: { number, hash, block, commit: certified.commit.slice(), bytes: certified.block.length } }
}

/** A follower that does nothing until it is started. */
export function createFollower(options: FollowerOptions): Follower {
  const { chain, setAt, log, nowMs, onFatal } = options
  const { params } = chain.genesis
  const silenceMs = Math.max(SILENCE_MIN_MS, 2 * chain.nextParams().maxBlockIntervalMs)
  const waiting = new Map<bigint, FinalBlock>()
  let waitingBytes = 0
  let highest = chain.head().header.number
  let stopped = false
  let askAtMs = 0
  let askedAtMs = 0
  let running: Promise<void> = Promise.resolve()
  /** Ends a pause early. */
  let wake: () => void = () => {}

  const head = () => chain.head().header.number

  function release(number: bigint): FinalBlock | undefined {
    const final = waiting.get(number)
    if (final && waiting.delete(number)) waitingBytes -= final.bytes
    return final
  }

  async function apply(final: FinalBlock): Promise<void> {
    const { number, hash, block, commit } = final
    if (options.adopt) return options.adopt(final)
    const checked = await chain.check(block)
    if (!checked.ok) throw new FollowError(`a quorum made block ${number} (${hash}) final, which is invalid here: ${checked.code}`)
    assert(checked.hash === hash, 'a checked block has another hash than its header')
    await chain.decide(hash, commit)
    log.debug('block final', { number, hash, txs: block.transactions.length })
  }

  /** Asks a peer for what comes after the head, and applies it. False: nothing came. */
  async function ask(): Promise<boolean> {
    const from = head() + 1n
    askedAtMs = nowMs()
    askAtMs = askedAtMs + silenceMs
    const answer = await options.request({ from, count: ANSWER_BLOCKS_MAX })
    if (!answer.ok) return false
    for (const [i, certified] of answer.blocks.entries()) {
      if (stopped) return true
      const checked = checkFinal(certified, setAt, params.chainId)
      const isNext = checked.ok && checked.final.number === from + BigInt(i)
      if (!isNext) {
        log.warn('a peer sent a block that is not final', { peer: answer.peer, code: checked.ok ? 'otherHeight' : checked.code })
        options.blame(answer.peer, 'its blocks are not final')
        return i > 0
      }
      await apply(checked.final)
    }
    if (answer.blocks.length === 0) return false
    log.debug('blocks fetched', { from, blocks: answer.blocks.length, peer: answer.peer })
    askAtMs = 0 // where these came from, there may be more
    return true
  }

  async function pause(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms)
      wake = resolve
    })
    clearTimeout(timer)
  }

  async function run(): Promise<void> {
    while (!stopped) {
      const next = release(head() + 1n)
      if (next) {
        await apply(next)
        continue
      }
      const isBehind = highest > head()
      if ((isBehind || nowMs() >= askAtMs) && (await ask())) continue
      if (!stopped) await pause(highest > head() ? RETRY_MS : Math.max(RETRY_MS, askAtMs - nowMs()))
    }
  }

  // Whoever made it the head, this follower or consensus.
  const stopListening = chain.onBlock(({ block }) => {
    const { number } = block.header
    release(number)
    askAtMs = nowMs() + silenceMs
    if (number > highest) highest = number
  })

  return {
    start() {
      log.info('following', { head: head() })
      running = run().catch((error: unknown) => {
        stopped = true
        onFatal(error)
      })
    },
    takeBlock(final) {
      const { number, bytes } = final
      if (number <= head() || waiting.has(number)) return
      if (number > highest) highest = number
      // What does not fit is asked for when its turn comes.
      if (number <= head() + WAITING_BLOCKS_MAX && waitingBytes + bytes <= WAITING_BYTES_MAX) {
        waiting.set(number, final)
        waitingBytes += bytes
      }
      wake()
    },
    takeHeight(number) {
      if (number <= highest) return
      highest = number
      wake()
    },
    has: (number) => number <= head() || waiting.has(number),
    askNow() {
      askAtMs = Math.min(askAtMs, askedAtMs + ASK_AGAIN_MS)
      wake()
    },
    highest: () => highest,
    async stop() {
      stopped = true
      stopListening()
      wake()
      await running
    },
  }
}
