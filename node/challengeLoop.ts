/**
 * A challenger's looks at L1, one after another until it is closed, on a chain that somebody keeps: one rebuilt for it (`verify --challenge`) or a node's own.
 * Spec: docs/spec/fraud.md#the-challenger
 */
import { assert } from '../execution/assert.ts'
import { timestampMs } from '../execution/block.ts'
import type { Genesis } from '../genesis/genesis.ts'
import type { DerivationHead } from '../settlement/derive.ts'
import type { L1 } from '../settlement/l1.ts'
import { L1Error } from '../settlement/l1Error.ts'
import type { L1Signer } from '../settlement/l1Tx.ts'
import { L1_REMEMBERS } from '../settlement/notes.ts'
import { createTxManager, type PendingTxStore } from '../settlement/txManager.ts'
import { l1InfoAfter } from './blocks.ts'
import { type Challenger, type ChallengerOptions, type ChallengerStatus, createChallenger, type Derived } from './challenger.ts'
import { errorFacts } from './log.ts'
import type { Store } from './store.ts'

/** L1 is looked at so often in a challenge window, within these bounds. */
const LOOKS_A_WINDOW = 60
const POLL_MIN_MS = 500
const POLL_MAX_MS = 12_000
/** Part of a window after which what is open is judged, though the chain has not come up to it: by its rows alone, which takes longer. */
const WAIT_PART = 10
/** Where a window is longer, only L1 blocks are read that L1 calls safe: what they hold is seldom taken back. */
const SHORT_WINDOW_SEC = 3_600
const GWEI = 10n ** 9n

export type ChallengeLoopOptions = Pick<ChallengerOptions, 'accumulator' | 'derived' | 'kzg' | 'log' | 'report'> & {
  readonly l1: L1
  readonly genesis: Genesis
  /** The account that challenges, and what it has on its way to L1. */
  readonly signer: L1Signer
  readonly pending: PendingTxStore
  /** Brings the chain up to these batches. False: it has not come so far, and is waited for during a part of the window. */
  catchUp(challenger: Pick<Challenger, 'batches'>): Promise<boolean>
  /** L1 took back what was read. */
  onReset(): void
  /** Something that does not pass by waiting; it has ended. */
  onFatal(error: unknown): void
}

export type ChallengeLoop = { status(): ChallengerStatus; close(): Promise<void> }

/** Starts looking at once. Throws L1Error. */
export async function startChallengeLoop(options: ChallengeLoopOptions): Promise<ChallengeLoop> {
  const { l1, log } = options
  const windowSec = await l1.challengeWindowSec()
  const pollMs = Math.min(POLL_MAX_MS, Math.max(POLL_MIN_MS, (windowSec * 1_000) / LOOKS_A_WINDOW))
  const tag = windowSec > SHORT_WINDOW_SEC ? 'safe' : 'latest'
  let stopped = false
  let endPause: () => void = () => {}
  /** Since when the chain has not come up to what was read. */
  let behindSinceMs: number | undefined
  /** Throws when it is closed meanwhile, which ends whatever waits for L1; what was sent is on disk. */
  const sleep = async (ms: number) => {
    let timer: NodeJS.Timeout | undefined
    if (!stopped) {
      await new Promise<void>((resolve) => {
        timer = setTimeout(resolve, ms)
        endPause = resolve
      })
    }
    clearTimeout(timer)
    if (stopped) throw new L1Error('the challenger is stopping', { kind: 'retry' })
  }
  const challenger = createChallenger({
    ...options,
    l1Remembers: L1_REMEMBERS,
    account: options.signer.address,
    sender: createSender(options, sleep),
    nowMs: Date.now,
  })

  async function look(): Promise<void> {
    await challenger.read(await l1.blockByTag(tag))
    if (stopped) return
    const isThere = await options.catchUp(challenger)
    behindSinceMs = isThere ? undefined : (behindSinceMs ?? Date.now())
    const isLate = behindSinceMs !== undefined && Date.now() - behindSinceMs > (windowSec * 1_000) / WAIT_PART
    if (!stopped && (isThere || isLate)) await challenger.challenge()
  }

  async function run(): Promise<void> {
    while (!stopped) {
      try {
        await look()
      } catch (error) {
        if (stopped) return
        if (!(error instanceof L1Error) || error.kind === 'stop') return options.onFatal(error)
        log.warn('the challenger waits for L1', errorFacts(error))
        if (error.kind === 'reset') options.onReset()
      }
      await sleep(pollMs).catch(() => {}) // closed: the loop sees it
    }
  }

  const running = run()
  return {
    status: challenger.status,
    async close() {
      stopped = true
      endPause()
      await running
    },
  }
}

/** What is derived as a store has it, behind this head. */
export function derivedIn(store: Store, head: () => DerivationHead): Derived {
  const parent = (block: bigint) => {
    const stored = store.block(block)
    assert(stored, `block ${block} was derived`)
    return { timestampMs: timestampMs(stored.block.header), originNumber: l1InfoAfter(store, block).number }
  }
  return { head, ledgerRoot: (block) => store.roots(block).ledgerRoot, source: store.reader, parent }
}

function createSender({ l1, genesis, signer, pending }: ChallengeLoopOptions, sleep: (ms: number) => Promise<void>) {
  return createTxManager(
    { l1: l1.transactions, store: pending, clock: { nowMs: Date.now, sleep } },
    {
      kind: 'ordinary',
      chainId: genesis.l1.chainId,
      signer,
      maxFeeLimitWei: 500n * GWEI,
      maxBlobFeeLimitWei: 0n,
      confirmations: 1n,
      pollMs: 250,
      resubmitMs: 15_000,
      waitMs: 20_000,
    },
  )
}
