"""moto's server, whose CloudFormation reads templates by libyaml: it reads each stack's three times."""

import yaml
from moto.cloudformation.utils import yaml_tag_constructor
from moto.server import main

if __name__ == "__main__":
    yaml.CLoader.add_multi_constructor("", yaml_tag_constructor)
    yaml.Loader = yaml.CLoader
    main()
