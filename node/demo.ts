/**
 * `tributary demo`: the whole loop against a running devnet, with real input: records out of installed packages, a review, a model with its lineage, paid
 * requests and signed receipts, attribution, credit, claims, and the rebuild of all of it from L1. Every step is checked, and the first one that is not
 * what it must be ends the demo. Each run has a datanet and a model of its own.
 */
import type { ConfigOf } from './config.ts'
import { fillDatanet } from './demo/datanet.ts'
import { earnersOf, earnersTable } from './demo/earners.ts'
import { openForBusiness, registerModel, serve } from './demo/inference.ts'
import { claimAll, creditWindow } from './demo/payment.ts'
import { createScreen } from './demo/screen.ts'
import { openStage } from './demo/stage.ts'

/** Plays the demo. Answers 0, or 3 if what is rebuilt from L1 differs from what the node says. Throws DemoError when a step fails. */
export async function runDemo(config: ConfigOf<'demo'>, print: (text: string) => void): Promise<number> {
  const screen = createScreen({ json: config.json, print })
  const stage = await openStage(config.rpc)
  screen.step('connected', `connected to ${config.rpc}, chain ${stage.params.chainId}`, { rpc: config.rpc, chainId: stage.params.chainId })
  const snapshot = await fillDatanet(stage, screen)
  const model = await registerModel(stage, screen, snapshot)
  await openForBusiness(stage, screen)
  const window = await serve(stage, screen, snapshot, model)
  const credited = await creditWindow(stage, screen, { snapshot, model, window })
  const { claims, lastBlock } = await claimAll(stage, screen, credited)
  const earners = earnersOf(claims, credited.feeWei, snapshot, window)
  screen.show(`\n${earnersTable(earners, window, stage.params.protocolBps)}\n`)
  screen.end({ ok: true, lastBlock, earners })
  return 0
}
