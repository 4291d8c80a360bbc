# XML-RPC by Ruby's own library, in the form that the Ruby client of pyapns uses: each call on a connection of its own.
#
#   pyapns.rb PORT PATH < CALLS
#
# Reads lines of JSON, a method and its arguments each, and writes one line for each: the result or the fault.
require "json"
require "xmlrpc/client"

XMLRPC::Config.send(:remove_const, :ENABLE_NIL_PARSER)
XMLRPC::Config.const_set(:ENABLE_NIL_PARSER, true)

client = XMLRPC::Client.new3("host" => "localhost", "port" => ARGV[0].to_i, "path" => ARGV[1], "timeout" => 15)
$stdin.each_line do |line|
  method, *arguments = JSON.parse(line)
  begin
    puts JSON.generate("result" => client.call_async(method, *arguments))
  rescue XMLRPC::FaultException => fault
    puts JSON.generate("fault" => [fault.faultCode, fault.faultString])
  end
end
