/**
 * `tributary verify --challenge`: follows L1 without end, rebuilds every batch, and makes each checkpoint fall that is wrong. What is rebuilt, blobs that
 * were read, and a proof that is on its way, are kept in the data folder, if there is one.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Hex } from 'viem'
import { assert } from '../execution/assert.ts'
import { timestampMs } from '../execution/block.ts'
import { L1Error } from '../settlement/l1Error.ts'
import type { L1Signer } from '../settlement/l1Tx.ts'
import { L1_REMEMBERS } from '../settlement/notes.ts'
import { createTxManager, type TxManager } from '../settlement/txManager.ts'
import { openBlobArchive } from './blobArchive.ts'
import { l1InfoAfter } from './blocks.ts'
import { type ChallengeOutcome, type Challenger, type ChallengerStatus, createChallenger } from './challenger.ts'
import { type ConfigOf, UsageError } from './config.ts'
import { errorFacts, type Log } from './log.ts'
import { beaconOption, inboxOption, signerFromFile } from './operatorNode.ts'
import { createPendingTxStore } from './pendingTxStore.ts'
import { openRebuild, openRollup, type Rebuild, type Rollup } from './rebuild.ts'

/** L1 is looked at so often in a challenge window, within these bounds. */
const LOOKS_A_WINDOW = 60
const POLL_MIN_MS = 500
const POLL_MAX_MS = 12_000
/** Where a window is longer, only L1 blocks are read that L1 calls safe: what they hold is seldom taken back. */
const SHORT_WINDOW_SEC = 3_600
const GWEI = 10n ** 9n

/** A challenge that runs. */
export type RunningChallenge = {
  readonly account: Hex
  readonly fraudVerifier: Hex
  status(): ChallengerStatus
  close(): Promise<void>
}

export type ChallengeOptions = {
  readonly config: ConfigOf<'verify'>
  readonly log: Log
  /** Told of each outcome, and of each batch that was gone over. */
  report(line: { readonly challenge: ChallengeOutcome } | { readonly progress: { readonly block: bigint; readonly batches: number } }): void
  onFatal(error: unknown): void
}

/** Starts it. Throws UsageError for missing options, L1Error, and what the parts throw. */
export async function startChallenge({ config, log, report, onFatal }: ChallengeOptions): Promise<RunningChallenge> {
  const { l1: l1Url, beacon, inbox } = config
  const kept = config['data-dir']
  if (l1Url === undefined) throw new UsageError('--l1 URL is required')
  if (config.rpc !== undefined) throw new UsageError('--rpc compares once: leave it out with --challenge')
  const signer = signerFromFile(config['challenger-key'])
  if (!signer) throw new UsageError('--challenger-key FILE is required with --challenge')
  const dataDir = kept ?? mkdtempSync(join(tmpdir(), 'tributary-challenge-'))
  const remove = () => kept === undefined && rmSync(dataDir, { recursive: true, force: true })
  try {
    const archive = openBlobArchive(join(dataDir, 'blobs'))
    const rollup = await openRollup({ l1Url, beaconUrls: beaconOption(beacon, l1Url), inbox: inboxOption(inbox), archive })
    const directory = join(dataDir, 'rebuilt')
    const watch = await openWatch({ rollup, directory, signer, log, report, onFatal })
    const close = async () => {
      await watch.close()
      remove()
    }
    return { account: signer.address, fraudVerifier: rollup.genesis.l1.fraudVerifier, status: watch.status, close }
  } catch (error) {
    remove()
    throw error
  }
}

type WatchParts = Pick<ChallengeOptions, 'log' | 'report' | 'onFatal'> & {
  readonly rollup: Rollup
  readonly directory: string
  readonly signer: L1Signer
}

/** Looks at L1 again and again until it is closed. */
async function openWatch({ rollup, directory, signer, log, report, onFatal }: WatchParts) {
  const { l1, genesis, accumulator, kzg } = rollup
  const windowSec = await l1.challengeWindowSec()
  const pollMs = Math.min(POLL_MAX_MS, Math.max(POLL_MIN_MS, (windowSec * 1_000) / LOOKS_A_WINDOW))
  const tag = windowSec > SHORT_WINDOW_SEC ? 'safe' : 'latest'
  let rebuild = await openRebuild({ directory, genesis, l1, accumulator, log })
  /** Batches that were gone over. */
  let done = 0
  let stopped = false
  let endPause: () => void = () => {}
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
  // The store changes when the rebuild begins anew.
  const manager = () => createSender({ rebuild, rollup, signer, sleep })
  let sender = manager()
  const challenger = createChallenger({
    l1,
    genesis,
    accumulator,
    derived: () => derivedBy(rebuild),
    kzg,
    l1Remembers: L1_REMEMBERS,
    account: signer.address,
    sender: { send: (request) => sender.send(request), resume: () => sender.resume() },
    log,
    report: (challenge) => report({ challenge }),
    nowMs: Date.now,
  })

  async function look(): Promise<void> {
    await challenger.read(await l1.blockByTag(tag))
    const batches = challenger.batches()
    if (done > batches.length || !isKnown(rebuild, challenger)) await restart()
    for (; done < batches.length && !stopped; done++) {
      const batch = batches[done]
      const taken = batch && (await rebuild.take(batch))
      if (taken?.kind === 'dropped') log.warn('a batch is invalid and dropped', { ...taken.dropped })
      report({ progress: { block: rebuild.chain().head().header.number, batches: done + 1 } })
    }
    if (!stopped) await challenger.challenge()
  }

  /** Begins anew: L1 has taken back batches that blocks were taken from. */
  async function restart(): Promise<void> {
    log.warn('L1 went back behind what was rebuilt: it is rebuilt anew', { batches: done })
    await rebuild.close()
    rmSync(directory, { recursive: true, force: true })
    rebuild = await openRebuild({ directory, genesis, l1, accumulator, log })
    sender = manager()
    done = 0
  }

  async function run(): Promise<void> {
    while (!stopped) {
      try {
        await look()
      } catch (error) {
        if (stopped) return
        if (!(error instanceof L1Error) || error.kind === 'stop') return onFatal(error)
        log.warn('the challenger waits for L1', errorFacts(error))
        if (error.kind === 'reset') done = 0
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
      await rebuild.close()
    },
  }
}

function derivedBy(rebuild: Rebuild) {
  const { store, head } = rebuild
  const parent = (block: bigint) => {
    const stored = store.block(block)
    assert(stored, `block ${block} was rebuilt`)
    return { timestampMs: timestampMs(stored.block.header), originNumber: l1InfoAfter(store, block).number }
  }
  return { head, ledgerRoot: (block: bigint) => store.roots(block).ledgerRoot, source: store.reader, parent }
}

/** Whether the batch behind which a rebuild stands is on L1, as far as that was read. */
function isKnown(rebuild: Rebuild, challenger: Pick<Challenger, 'batches'>): boolean {
  const { accumulator, nextIndex } = rebuild.head()
  return nextIndex === 0n || challenger.batches()[Number(nextIndex) - 1]?.accumulator === accumulator
}

type SenderParts = Pick<WatchParts, 'rollup' | 'signer'> & { readonly rebuild: Rebuild; sleep(ms: number): Promise<void> }

function createSender({ rebuild, rollup, signer, sleep }: SenderParts): TxManager {
  const { l1, genesis } = rollup
  return createTxManager(
    { l1: l1.transactions, store: createPendingTxStore(rebuild.store, 'challenge'), clock: { nowMs: Date.now, sleep } },
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
