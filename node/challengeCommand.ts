/**
 * `tributary verify --challenge`: follows L1 without end, rebuilds every batch, and makes each checkpoint fall that is wrong. What is rebuilt, blobs that
 * were read, and a proof that is on its way, are kept in the data folder, if there is one.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Hex } from 'viem'
import type { L1Signer } from '../settlement/l1Tx.ts'
import { openBlobArchive } from './blobArchive.ts'
import { type ChallengeLoop, derivedIn, startChallengeLoop } from './challengeLoop.ts'
import type { ChallengeOutcome, Challenger, ChallengerStatus } from './challenger.ts'
import { type ConfigOf, metricsOptions, UsageError } from './config.ts'
import type { Log } from './log.ts'
import { beaconOption, inboxOption, signerFromFile } from './operatorNode.ts'
import { createPendingTxStore } from './pendingTxStore.ts'
import { openRebuild, openRollup, type Rebuild, type Rollup } from './rebuild.ts'

/** A challenge that runs. */
export type RunningChallenge = {
  readonly account: Hex
  readonly fraudVerifier: Hex
  /** Where its numbers are, if they are served. */
  readonly metricsUrl: string | undefined
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
    const place = metricsOptions(config)
    const metrics = place && (await (await import('./metrics.ts')).serveChallengerMetrics(watch.status, place))
    const close = async () => {
      await metrics?.close()
      await watch.close()
      remove()
    }
    return {
      account: signer.address,
      fraudVerifier: rollup.genesis.l1.fraudVerifier,
      metricsUrl: metrics?.url,
      status: watch.status,
      close,
    }
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

/** On a chain that is rebuilt for it. */
async function openWatch({ rollup, directory, signer, log, report, onFatal }: WatchParts): Promise<ChallengeLoop> {
  const { l1, genesis, accumulator } = rollup
  let rebuild = await openRebuild({ directory, genesis, l1, accumulator, log })
  /** Batches that were gone over. */
  let done = 0
  let stopped = false
  // The store changes when the rebuild begins anew.
  const store = () => createPendingTxStore(rebuild.store, 'challenge')

  /** Begins anew: L1 has taken back batches that blocks were taken from. */
  async function restart(): Promise<void> {
    log.warn('L1 went back behind what was rebuilt: it is rebuilt anew', { batches: done })
    await rebuild.close()
    rmSync(directory, { recursive: true, force: true })
    rebuild = await openRebuild({ directory, genesis, l1, accumulator, log })
    done = 0
  }

  const loop = await startChallengeLoop({
    ...rollup,
    signer,
    pending: { load: () => store().load(), save: (pending) => store().save(pending), clear: () => store().clear() },
    derived: () => derivedIn(rebuild.store, rebuild.head),
    async catchUp(challenger) {
      const batches = challenger.batches()
      if (done > batches.length || !isKnown(rebuild, challenger)) await restart()
      for (; done < batches.length && !stopped; done++) {
        const batch = batches[done]
        const taken = batch && (await rebuild.take(batch))
        if (taken?.kind === 'dropped') log.warn('a batch is invalid and dropped', { ...taken.dropped })
        report({ progress: { block: rebuild.chain().head().header.number, batches: done + 1 } })
      }
      return !stopped
    },
    onReset() {
      done = 0
    },
    log,
    report: (challenge) => report({ challenge }),
    onFatal,
  })
  return {
    status: loop.status,
    async close() {
      stopped = true
      await loop.close()
      await rebuild.close()
    },
  }
}

/** Whether the batch behind which a rebuild stands is on L1, as far as that was read. */
function isKnown(rebuild: Rebuild, challenger: Pick<Challenger, 'batches'>): boolean {
  const { accumulator, nextIndex } = rebuild.head()
  return nextIndex === 0n || challenger.batches()[Number(nextIndex) - 1]?.accumulator === accumulator
}
