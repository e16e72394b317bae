# frozen_string_literal: true

# Validates the signatures, and checks that they and the classes name the same methods. Then
# runs the example with every call checked against its signature.
$LOAD_PATH.unshift File.expand_path("../lib", __dir__)
require "rbs"
require "rbs/cli"
require "tendmap"

SIG = File.expand_path("../sig", __dir__)
RBS::CLI.new(stdout: $stdout, stderr: $stderr).run(["-I", SIG, "validate", "--silent"])

loader = RBS::EnvironmentLoader.new
loader.add(path: Pathname(SIG))
environment = RBS::Environment.from_loader(loader).resolve_type_names
builder = RBS::DefinitionBuilder.new(env: environment)
# Methods that every object has, with the signatures of Object.
inherited = %i[initialize_copy instance_of? marshal_dump]
wrong = []
classes = Tendmap.constants.map { |name| Tendmap.const_get(name) }.grep(Class)
classes.each do |type|
  name = RBS::TypeName.new(name: type.name.split("::").last.to_sym, namespace: RBS::Namespace.parse("::Tendmap"))
  definition = builder.build_instance(name)
  signed = definition.methods.select { |_, method| method.defined_in == name }.keys - [:initialize]
  real = type.public_instance_methods(false) - inherited
  wrong += (real - signed).map { |method| "#{type}##{method} has no signature" }
  wrong += (signed - real).reject { |method| type.public_method_defined?(method) }
                          .map { |method| "#{type}##{method} does not exist" }
rescue RBS::NoTypeFoundError, RuntimeError => e
  wrong << "#{type}: #{e.message}"
end
abort wrong.join("\n") unless wrong.empty?

environment = { "RBS_TEST_TARGET" => "Tendmap,Tendmap::*", "RBS_TEST_OPT" => "-I #{SIG}", "RBS_TEST_RAISE" => "true",
                "RBS_TEST_LOGLEVEL" => "error", "RBS_TEST_DOUBLE_SUITE" => nil }
example = File.expand_path("../examples/simulated.rb", __dir__)
command = [RbConfig.ruby, "-I", $LOAD_PATH.first, "-r", "rbs/test/setup", example]
system(environment, *command, out: File::NULL) || abort("the example does not conform to the signatures")
puts "#{classes.size} classes conform to their signatures"
