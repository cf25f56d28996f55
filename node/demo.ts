/**
 * `tributary demo`: the whole loop against a running devnet, with real input: records out of installed packages, a review, a model with its lineage, paid
 * requests and signed receipts, attribution, credit, claims, and the rebuild of all of it from L1. Every step is checked, and the first one that is not
 * what it must be ends the demo. Each run has a datanet and a model of its own. What it prints for machines: docs/cli.md#demo
 */
import type { ConfigOf } from './config.ts'
import { fillDatanet } from './demo/datanet.ts'
import { type Earner, earnersOf, earnersTable } from './demo/earners.ts'
import { openForBusiness, registerModel, serve } from './demo/inference.ts'
import { claimAll, creditWindow } from './demo/payment.ts'
import { rebuild } from './demo/rebuild.ts'
import { createScreen } from './demo/screen.ts'
import { openStage } from './demo/stage.ts'

/** Plays the demo. Answers 0, or 3 if what is rebuilt from L1 differs from what the node says. Throws DemoError when a step fails. */
export async function runDemo(config: ConfigOf<'demo'>, print: (text: string) => void): Promise<number> {
  const { json, rpc } = config
  const screen = createScreen({ json, print })
  const stage = await openStage(rpc)
  const { chainId, protocolBps } = stage.params
  screen.step('connected', `connected to ${rpc}, chain ${chainId}`, { rpc, chainId })
  const snapshot = await fillDatanet(stage, screen)
  const model = await registerModel(stage, screen, snapshot)
  await openForBusiness(stage, screen)
  const window = await serve(stage, screen, snapshot, model)
  const { feeWei, ...credited } = await creditWindow(stage, screen, { snapshot, model, window })
  const { claims, lastBlock } = await claimAll(stage, screen, credited)
  const earners = earnersOf(claims, feeWei, snapshot, window)
  screen.show(`\n${earnersTable(earners, window, protocolBps)}\n`)
  const { ok, summary, ...rest } = await rebuild(stage, screen, { rpcUrl: rpc, lastBlock })
  const differences = 'difference' in rest ? [rest.difference] : []
  screen.end({
    ok,
    rpc,
    chainId,
    datanetId: snapshot.datanetId,
    modelId: model.modelId,
    receipts: window.length,
    feeWei,
    earnedWei: sumOf(earners, ({ earnedWei }) => earnedWei),
    claimedWei: sumOf(earners, ({ claimedWei }) => claimedWei ?? 0n),
    earners,
    lastBlock,
    verified: { ...summary, differences: differences.length, ...(differences.length > 0 && { difference: differences[0] }) },
  })
  return ok ? 0 : 3
}

function sumOf(earners: readonly Earner[], amountOf: (earner: Earner) => bigint): bigint {
  return earners.reduce((sum, earner) => sum + amountOf(earner), 0n)
}
