/** Writes down what Ponder hears. Of a token's transfer it asks the state of that block as well. */
import { env } from 'node:process'
import { ponder } from 'ponder:registry'
import { blocks, heard } from 'ponder:schema'

const node = JSON.parse(env.INDEXED ?? '{}')
const json = (facts) => JSON.stringify(facts, (_, value) => (typeof value === 'bigint' ? value.toString() : value))

function write(what, factsOf) {
  ponder.on(what, async ({ event, context }) => {
    const facts = json(await factsOf(event, context))
    const { number } = event.block
    await context.db.insert(heard).values({ id: event.id, what, blockNumber: number, hash: event.transaction.hash, facts })
  })
}

write('ledger:Transferred', ({ args, transactionReceipt }) => ({
  ...args,
  gasUsed: transactionReceipt.gasUsed,
  status: transactionReceipt.status,
}))
write('datanets:DatanetCreated', ({ args }) => args)
write('datanets:Uploaded', ({ args }) => args)
write('token:Transfer', async ({ args }, { client, contracts }) => {
  const { abi, address } = contracts.token
  return { ...args, held: await client.readContract({ abi, address, functionName: 'balanceOf', args: [node.stranger] }) }
})
write('token.transfer()', ({ args, trace }) => ({ args, from: trace.from }))
write('stranger:transaction:to', ({ transaction }) => ({ value: transaction.value }))
write('stranger:transfer:to', ({ transfer }) => transfer)

ponder.on('every:block', async ({ event, context }) => {
  const { number, hash, timestamp } = event.block
  await context.db.insert(blocks).values({ number, hash, timestamp })
})
