/**
 * What consensus asks of execution: a block to propose, and the verdict on a block that another one proposed. A verdict needs the block itself
 * (node/proposals.ts), its execution on the head, and an L1 that says what the block says of it.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Hex } from 'viem'
import { type Block, timestampMs } from '../execution/block.ts'
import type { OriginStep } from '../execution/buildBlock.ts'
import type { L1Info } from '../execution/ledger/tables.ts'
import type { ChainState } from './chainState.ts'
import type { Log } from './log.ts'
import { originOf } from './origin.ts'
import { createProposals, type Proposals } from './proposals.ts'
import type { ValidatorChain } from './validator.ts'

/**
 * Building stops after this time, so that what the pool holds cannot make a proposal late: with the longest transaction that gas allows (about 2 s of this EVM)
 * the proposal still comes in while others hold its time for true (consensus/timing.ts, `isTimely`), and before the round's timer.
 */
const BUILD_BUDGET_MS = 500
/** What is not known of L1 yet is asked for again so often. */
const L1_AGAIN_MS = 100

export type ExecutionOptions = {
  readonly chain: ChainState
  readonly net: { fetchBlock(hash: Hex): Promise<Uint8Array | undefined>; blame(peer: string, why: string): void }
  /** The L1 origin for a block at this time, or undefined to stay. */
  nextOrigin(current: L1Info, timestampMs: number): OriginStep | undefined
  /** Whether L1 has this after `current`; undefined while that is not known. */
  judgeOrigin(current: L1Info, step: OriginStep): boolean | undefined
  /** Bytes of transactions that a block of ours may take from the pool. */
  poolBytesMax?(): number
  /** Whether L1 has given up the origin of our head: nothing behind it can be posted, so nothing is added. */
  isGone?(origin: L1Info): boolean
  /** Whether consensus still waits for a block of this height. */
  isOpen(height: number): boolean
  nowMs(): number
  readonly log: Log
}

/** Milliseconds. */
type Took = { readonly builtMs?: number; readonly checkedMs?: number }

export type ProposalExecution = Pick<Proposals, 'take' | 'give' | 'settle' | 'close'> & {
  readonly build: ValidatorChain['build']
  /** Answers once a block is executed and L1 confirms it; not while L1 does not, unless a quorum vouches for it. */
  readonly check: ValidatorChain['check']
  /** What building or checking a block of the open height took here. */
  took(blockHash: Hex): Took
}

/** Over the chain as this process executes it. Nothing is under way. */
export function createExecution({ chain, net, isOpen, nowMs, log, ...l1 }: ExecutionOptions): ProposalExecution {
  const proposals = createProposals({
    height: () => chain.head().header.number,
    fetch: net.fetchBlock,
    blame: net.blame,
    minBlockIntervalMs: () => chain.nextParams().minBlockIntervalMs,
    nowMs,
  })
  /** Blocks that are being checked, and whether a quorum vouches for them. */
  const checking = new Map<Hex, { isVouched: boolean }>()
  const took = new Map<Hex, Took>()

  /** Waits while the origin of our head is none of L1's: whoever went on would make what no one can derive. */
  async function untilOnL1(isMoot: () => boolean): Promise<void> {
    let isTold = false
    // Ends: when L1 has the block again, or with the height.
    while (!isMoot() && l1.isGone?.(chain.l1Info())) {
      const { number, hash } = chain.l1Info()
      if (!isTold) log.error('L1 has given up the origin of our head: no block is made until it has it again', { number, hash })
      isTold = true
      await sleep(L1_AGAIN_MS)
    }
  }

  /** Waits until L1 is known to have the block's origin and deposits, or `isMoot`. */
  async function isOfL1(block: Block, isMoot: () => boolean): Promise<void> {
    const step = originOf(block)
    // Ends: with its height at the latest.
    while (step && !isMoot() && l1.judgeOrigin(chain.l1Info(), step) !== true) await sleep(L1_AGAIN_MS)
  }

  async function checkNow(height: number, blockHash: Hex, entry: { readonly isVouched: boolean }): ReturnType<ValidatorChain['check']> {
    const block = chain.store.proposed(blockHash) ?? (await proposals.wait(BigInt(height), blockHash, entry.isVouched))
    if (!block) return undefined
    // Without an answer the round passes with a vote for nil. Others may know more of L1 than we do: what a quorum vouches for is not for us to doubt.
    const isMoot = () => entry.isVouched || !isOpen(height)
    await untilOnL1(isMoot)
    await isOfL1(block, isMoot)
    if (!isOpen(height)) return undefined
    const began = performance.now()
    const [result] = await Promise.all([chain.check(block), chain.store.writeProposed(block)])
    took.set(blockHash, { checkedMs: Math.round(performance.now() - began) })
    if (!result.ok) log.warn('a proposed block is invalid', { blockHash, code: result.code })
    return { kind: 'blockChecked', height, blockHash, valid: result.ok, timestampMs: timestampMs(block.header) }
  }

  return {
    take: proposals.take,
    give: proposals.give,
    close: proposals.close,
    took: (blockHash) => took.get(blockHash) ?? {},
    settle(height) {
      took.clear()
      proposals.settle(height)
    },
    async build({ height, round, feeRecipient }) {
      await untilOnL1(() => !isOpen(height))
      const time = nowMs()
      const step = l1.nextOrigin(chain.l1Info(), time)
      const began = performance.now()
      const poolBytesMax = l1.poolBytesMax?.()
      const result = await chain.build({ timestampMs: time, feeRecipient, origin: step, budgetMs: BUILD_BUDGET_MS, poolBytesMax })
      took.set(result.hash, { builtMs: Math.round(performance.now() - began) })
      return { kind: 'blockBuilt', height, round, blockHash: result.hash, timestampMs: timestampMs(result.block.header) }
    },
    async check({ height, blockHash, isVouched }) {
      const known = checking.get(blockHash)
      if (known) {
        known.isVouched ||= isVouched
        if (isVouched) await proposals.wait(BigInt(height), blockHash, true)
        return undefined
      }
      const entry = { isVouched }
      checking.set(blockHash, entry)
      return checkNow(height, blockHash, entry).finally(() => checking.delete(blockHash))
    },
  }
}
