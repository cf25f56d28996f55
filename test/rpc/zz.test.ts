import { test } from 'vitest'
import { createFakeChain, signTransfer } from '../fakes/chain.ts'
import { blockToJson, receiptsToJson } from '../../rpc/format.ts'
import { doorCallData } from '../../execution/native/native.ts'
import { bytesToHex } from 'viem'
test('bench', async () => {
  const chain = await createFakeChain()
  const raws = []
  for (let i = 0; i < 500; i++) raws.push(await signTransfer(chain, 2, BigInt(i), 1n))
  await chain.seal(raws)
  const at = chain.blocks.at(-1)!
  const bench = (name: string, f: () => unknown) => { for (let i = 0; i < 5; i++) f(); let t = process.cpuUsage().user; let n = 0; const e = performance.now() + 1000; while (performance.now() < e) { f(); n++ } console.log(name, ((process.cpuUsage().user - t) / n / 500).toFixed(2), 'us/item') }
  bench('blockToJson', () => blockToJson(at, true))
  bench('block + stringify', () => JSON.stringify(blockToJson(at, true)))
  bench('receipts', () => receiptsToJson(at))
  const r = receiptsToJson(at)
  bench('receipts stringify', () => JSON.stringify(r))
  bench('doorCallData', () => at.transactions.map((t) => t.kind === 'native' && doorCallData(t.native)))
  bench('bloom viem', () => at.receipts.map((x) => bytesToHex(x.logsBloom)))
  bench('bloom buffer', () => at.receipts.map((x) => `0x${Buffer.from(x.logsBloom.buffer, x.logsBloom.byteOffset, 256).toString('hex')}`))
  bench('r,s', () => at.transactions.map((t) => t.kind === 'native' && [BigInt(bytesToHex(t.native.signature.r)).toString(16), BigInt(bytesToHex(t.native.signature.s)).toString(16)]))
})
